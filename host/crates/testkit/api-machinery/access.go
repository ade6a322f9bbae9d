// Who somebody is, and what they may do: tokens of a file and of service accounts, and the rules of roles.

package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/token/tokenfile"
	"k8s.io/apiserver/pkg/authentication/token/union"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	authorizerunion "k8s.io/apiserver/pkg/authorization/union"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	rbaclisters "k8s.io/client-go/listers/rbac/v1"
)

type accessOptions struct{ file, public, private, issuer string }

func (o *accessOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.file, "token-auth-file", "", "Tokens, names, numbers and groups")
	flags.StringVar(&o.public, "service-account-key-file", "", "Verifies the tokens of service accounts")
	flags.StringVar(&o.private, "service-account-signing-key-file", "", "Signs them")
	flags.StringVar(&o.issuer, "service-account-issuer", "", "Whose they are")
}

// The tokens of service accounts.
type tokens struct {
	file     *tokenfile.TokenAuthenticator
	key      crypto.Signer
	issuer   string
	accounts corelisters.ServiceAccountLister
}

func (o *accessOptions) tokens(factory informers.SharedInformerFactory) (*tokens, error) {
	file, err := tokenfile.NewCSV(o.file)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(o.private)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is no PEM", o.private)
	}
	key, err := parseKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.private, err)
	}
	return &tokens{file, key, o.issuer, factory.Core().V1().ServiceAccounts().Lister()}, nil
}

func parseKey(bytes []byte) (crypto.Signer, error) {
	if key, err := x509.ParsePKCS1PrivateKey(bytes); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(bytes)
	if err != nil {
		return nil, err
	}
	if signer, is := key.(crypto.Signer); is {
		return signer, nil
	}
	return nil, fmt.Errorf("no key to sign with")
}

// Whether the words were signed with our key.
func (t *tokens) isOurs(words string, signature []byte) bool {
	digest := sha256.Sum256([]byte(words))
	switch key := t.key.Public().(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, digest[:], signature)
	}
	return false
}

func (t *tokens) authenticator() authenticator.Request {
	return group.NewAuthenticatedGroupAdder(bearertoken.New(union.New(t.file, t)))
}

type claims struct {
	Audience   []string `json:"aud"`
	Expiry     int64    `json:"exp"`
	IssuedAt   int64    `json:"iat"`
	Issuer     string   `json:"iss"`
	Subject    string   `json:"sub"`
	Kubernetes struct {
		Namespace string `json:"namespace"`
		Account   struct {
			Name string `json:"name"`
			UID  string `json:"uid"`
		} `json:"serviceaccount"`
	} `json:"kubernetes.io"`
}

func (t *tokens) mint(account *corev1.ServiceAccount, seconds int64, audiences []string) (string, time.Time, error) {
	now := time.Now()
	expiry := now.Add(time.Duration(seconds) * time.Second)
	said := claims{Audience: audiences, Expiry: expiry.Unix(), IssuedAt: now.Unix(), Issuer: t.issuer}
	said.Subject = serviceaccount.MakeUsername(account.Namespace, account.Name)
	said.Kubernetes.Namespace = account.Namespace
	said.Kubernetes.Account.Name, said.Kubernetes.Account.UID = account.Name, string(account.UID)
	body, err := json.Marshal(said)
	if err != nil {
		return "", expiry, err
	}
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256"}`)) + "." + base64.RawURLEncoding.EncodeToString(body)
	digest := sha256.Sum256([]byte(signed))
	signature, err := t.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), expiry, err
}

// AuthenticateToken says whose token it is, if it is one of ours that still counts.
func (t *tokens) AuthenticateToken(_ context.Context, token string) (*authenticator.Response, bool, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, false, nil
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, false, err
	}
	if !t.isOurs(parts[0]+"."+parts[1], signature) {
		return nil, false, fmt.Errorf("the token is not one of ours")
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, false, err
	}
	said := claims{}
	if err := json.Unmarshal(body, &said); err != nil {
		return nil, false, err
	}
	if time.Now().Unix() > said.Expiry {
		return nil, false, fmt.Errorf("service account token has expired")
	}
	namespace, name := said.Kubernetes.Namespace, said.Kubernetes.Account.Name
	account, err := t.accounts.ServiceAccounts(namespace).Get(name)
	if err != nil {
		return nil, false, err
	}
	if string(account.UID) != said.Kubernetes.Account.UID {
		return nil, false, fmt.Errorf("service account UID (%s) does not match claim", account.UID)
	}
	return &authenticator.Response{User: serviceaccount.UserInfo(namespace, name, string(account.UID))}, true, nil
}

// Makes tokens: `serviceaccounts/token`.
type tokenRequests struct{ tokens *tokens }

func (*tokenRequests) New() runtime.Object { return &authenticationv1.TokenRequest{} }
func (*tokenRequests) Destroy()            {}
func (*tokenRequests) GroupVersionKind(schema.GroupVersion) schema.GroupVersionKind {
	return authenticationv1.SchemeGroupVersion.WithKind("TokenRequest")
}
func (r *tokenRequests) Create(ctx context.Context, name string, object runtime.Object, _ rest.ValidateObjectFunc, _ *metav1.CreateOptions) (runtime.Object, error) {
	asked := object.(*authenticationv1.TokenRequest)
	account, err := r.tokens.accounts.ServiceAccounts(request.NamespaceValue(ctx)).Get(name)
	for tries := 0; apierrors.IsNotFound(err) && tries < 40; tries++ {
		// It may have been created a moment ago.
		time.Sleep(25 * time.Millisecond)
		account, err = r.tokens.accounts.ServiceAccounts(request.NamespaceValue(ctx)).Get(name)
	}
	if err != nil {
		return nil, err
	}
	seconds := int64(3600)
	if asked.Spec.ExpirationSeconds != nil {
		seconds = *asked.Spec.ExpirationSeconds
	}
	if len(asked.Spec.Audiences) == 0 {
		asked.Spec.Audiences = []string{r.tokens.issuer}
	}
	token, expiry, err := r.tokens.mint(account, seconds, asked.Spec.Audiences)
	if err != nil {
		return nil, err
	}
	asked.Status = authenticationv1.TokenRequestStatus{Token: token, ExpirationTimestamp: metav1.NewTime(expiry)}
	return asked, nil
}

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

// The namespaces that every cluster has, and the service that stands for the server.
func firstObjects(client kubernetes.Interface) genericapiserver.PostStartHookFunc {
	return func(hook genericapiserver.PostStartHookContext) error {
		for _, name := range []string{"default", "kube-system", "kube-public"} {
			namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
			err := patiently(func() error {
				_, err := client.CoreV1().Namespaces().Create(hook, namespace, metav1.CreateOptions{})
				return err
			})
			if err != nil {
				return fmt.Errorf("cannot create the namespace %s: %w", name, err)
			}
		}
		service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "kubernetes"}}
		service.Spec.Ports = []corev1.ServicePort{{Name: "https", Port: 443, TargetPort: intstr.FromInt32(6443)}}
		return patiently(func() error {
			_, err := client.CoreV1().Services("default").Create(hook, service, metav1.CreateOptions{})
			return err
		})
	}
}

// The server has just begun, and may have to be asked more than once.
func patiently(create func() error) error {
	var err error
	for tries := 0; tries < 100; tries++ {
		if err = create(); err == nil || apierrors.IsAlreadyExists(err) {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}
