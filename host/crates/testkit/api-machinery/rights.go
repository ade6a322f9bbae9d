// What somebody may do: the rules of roles, and the reviews that tell of them.

package main

import (
	"context"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	authorizerunion "k8s.io/apiserver/pkg/authorization/union"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/client-go/informers"
	rbaclisters "k8s.io/client-go/listers/rbac/v1"
)

// The rules of roles.
type rights struct {
	roles           rbaclisters.RoleLister
	bindings        rbaclisters.RoleBindingLister
	clusterRoles    rbaclisters.ClusterRoleLister
	clusterBindings rbaclisters.ClusterRoleBindingLister
}

func newRights(factory informers.SharedInformerFactory) *rights {
	rbac := factory.Rbac().V1()
	return &rights{rbac.Roles().Lister(), rbac.RoleBindings().Lister(), rbac.ClusterRoles().Lister(), rbac.ClusterRoleBindings().Lister()}
}

func (r *rights) authorizer() authorizer.Authorizer {
	return authorizerunion.New(authorizerfactory.NewPrivilegedGroups(user.SystemPrivilegedGroup), r)
}

// What everybody may do who is known, in every cluster.
var common = []rbacv1.PolicyRule{
	{Verbs: []string{"create"}, APIGroups: []string{authorizationv1.GroupName}, Resources: []string{"selfsubjectaccessreviews"}},
	{Verbs: []string{"get"}, NonResourceURLs: []string{"/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/version", "/healthz", "/livez", "/readyz"}},
}

func (r *rights) Authorize(_ context.Context, asked authorizer.Attributes) (authorizer.Decision, string, error) {
	if has(asked.GetUser().GetGroups(), user.AllAuthenticated) && allow(common, asked) {
		return authorizer.DecisionAllow, "", nil
	}
	bindings, err := r.clusterBindings.List(labels.Everything())
	if err != nil {
		return authorizer.DecisionNoOpinion, "", err
	}
	for _, binding := range bindings {
		if isOne(binding.Subjects, asked.GetUser(), "") && allow(r.rules("", binding.RoleRef), asked) {
			return authorizer.DecisionAllow, "", nil
		}
	}
	if namespace := asked.GetNamespace(); namespace != "" {
		bindings, err := r.bindings.RoleBindings(namespace).List(labels.Everything())
		if err != nil {
			return authorizer.DecisionNoOpinion, "", err
		}
		for _, binding := range bindings {
			if isOne(binding.Subjects, asked.GetUser(), namespace) && allow(r.rules(namespace, binding.RoleRef), asked) {
				return authorizer.DecisionAllow, "", nil
			}
		}
	}
	return authorizer.DecisionNoOpinion, "", nil
}

func (r *rights) rules(namespace string, reference rbacv1.RoleRef) []rbacv1.PolicyRule {
	if reference.Kind == "Role" {
		if role, err := r.roles.Roles(namespace).Get(reference.Name); err == nil {
			return role.Rules
		}
	} else if role, err := r.clusterRoles.Get(reference.Name); err == nil {
		return role.Rules
	}
	return nil
}

func isOne(subjects []rbacv1.Subject, who user.Info, namespace string) bool {
	for _, subject := range subjects {
		switch subject.Kind {
		case rbacv1.UserKind:
			if subject.Name == who.GetName() {
				return true
			}
		case rbacv1.GroupKind:
			if has(who.GetGroups(), subject.Name) {
				return true
			}
		case rbacv1.ServiceAccountKind:
			place := subject.Namespace
			if place == "" {
				place = namespace
			}
			if serviceaccount.MatchesUsername(place, subject.Name, who.GetName()) {
				return true
			}
		}
	}
	return false
}

func allow(rules []rbacv1.PolicyRule, asked authorizer.Attributes) bool {
	for _, rule := range rules {
		if !has(rule.Verbs, asked.GetVerb(), "*") {
			continue
		}
		if !asked.IsResourceRequest() {
			for _, path := range rule.NonResourceURLs {
				if before, open := strings.CutSuffix(path, "*"); path == asked.GetPath() || open && strings.HasPrefix(asked.GetPath(), before) {
					return true
				}
			}
			continue
		}
		resource := asked.GetResource()
		any := "*"
		if part := asked.GetSubresource(); part != "" {
			resource += "/" + part
			any = "*/" + part
		}
		if has(rule.APIGroups, asked.GetAPIGroup(), "*") && has(rule.Resources, resource, "*", any) &&
			(len(rule.ResourceNames) == 0 || has(rule.ResourceNames, asked.GetName())) {
			return true
		}
	}
	return false
}

func has(set []string, wanted ...string) bool {
	for _, one := range set {
		for _, word := range wanted {
			if one == word {
				return true
			}
		}
	}
	return false
}

func attributesOf(who user.Info, spec *authorizationv1.ResourceAttributes, path *authorizationv1.NonResourceAttributes) authorizer.AttributesRecord {
	if spec == nil {
		if path == nil {
			path = &authorizationv1.NonResourceAttributes{}
		}
		return authorizer.AttributesRecord{User: who, Verb: path.Verb, Path: path.Path}
	}
	return authorizer.AttributesRecord{User: who, Verb: spec.Verb, Namespace: spec.Namespace, APIGroup: spec.Group, APIVersion: spec.Version,
		Resource: spec.Resource, Subresource: spec.Subresource, Name: spec.Name, ResourceRequest: true}
}

func (r *rights) review(ctx context.Context, asked authorizer.Attributes) authorizationv1.SubjectAccessReviewStatus {
	decision, reason, err := r.authorizer().Authorize(ctx, asked)
	status := authorizationv1.SubjectAccessReviewStatus{Allowed: decision == authorizer.DecisionAllow, Reason: reason}
	if err != nil {
		status.EvaluationError = err.Error()
	}
	return status
}

type selfReviews struct{ rights *rights }

func (*selfReviews) New() runtime.Object     { return &authorizationv1.SelfSubjectAccessReview{} }
func (*selfReviews) Destroy()                {}
func (*selfReviews) NamespaceScoped() bool   { return false }
func (*selfReviews) GetSingularName() string { return "selfsubjectaccessreview" }
func (r *selfReviews) Create(ctx context.Context, object runtime.Object, _ rest.ValidateObjectFunc, _ *metav1.CreateOptions) (runtime.Object, error) {
	asked := object.(*authorizationv1.SelfSubjectAccessReview)
	who, _ := request.UserFrom(ctx)
	asked.Status = r.rights.review(ctx, attributesOf(who, asked.Spec.ResourceAttributes, asked.Spec.NonResourceAttributes))
	return asked, nil
}

type reviews struct{ rights *rights }

func (*reviews) New() runtime.Object     { return &authorizationv1.SubjectAccessReview{} }
func (*reviews) Destroy()                {}
func (*reviews) NamespaceScoped() bool   { return false }
func (*reviews) GetSingularName() string { return "subjectaccessreview" }
func (r *reviews) Create(ctx context.Context, object runtime.Object, _ rest.ValidateObjectFunc, _ *metav1.CreateOptions) (runtime.Object, error) {
	asked := object.(*authorizationv1.SubjectAccessReview)
	who := &user.DefaultInfo{Name: asked.Spec.User, Groups: asked.Spec.Groups, UID: asked.Spec.UID}
	asked.Status = r.rights.review(ctx, attributesOf(who, asked.Spec.ResourceAttributes, asked.Spec.NonResourceAttributes))
	return asked, nil
}
