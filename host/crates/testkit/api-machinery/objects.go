// What kinds of objects there are, and how they are kept.

package main

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/names"
)

// A kind of object.
type resource struct {
	gv         schema.GroupVersion
	plural     string
	singular   string
	example    runtime.Object
	list       runtime.Object
	namespaced bool
}

var core = corev1.SchemeGroupVersion

var resources = []resource{
	{core, "pods", "pod", &corev1.Pod{}, &corev1.PodList{}, true},
	{core, "services", "service", &corev1.Service{}, &corev1.ServiceList{}, true},
	{core, "endpoints", "endpoints", &corev1.Endpoints{}, &corev1.EndpointsList{}, true},
	{core, "configmaps", "configmap", &corev1.ConfigMap{}, &corev1.ConfigMapList{}, true},
	{core, "secrets", "secret", &corev1.Secret{}, &corev1.SecretList{}, true},
	{core, "serviceaccounts", "serviceaccount", &corev1.ServiceAccount{}, &corev1.ServiceAccountList{}, true},
	{core, "events", "event", &corev1.Event{}, &corev1.EventList{}, true},
	{core, "resourcequotas", "resourcequota", &corev1.ResourceQuota{}, &corev1.ResourceQuotaList{}, true},
	{core, "replicationcontrollers", "replicationcontroller", &corev1.ReplicationController{}, &corev1.ReplicationControllerList{}, true},
	{core, "namespaces", "namespace", &corev1.Namespace{}, &corev1.NamespaceList{}, false},
	{core, "nodes", "node", &corev1.Node{}, &corev1.NodeList{}, false},
	{appsv1.SchemeGroupVersion, "daemonsets", "daemonset", &appsv1.DaemonSet{}, &appsv1.DaemonSetList{}, true},
	{appsv1.SchemeGroupVersion, "deployments", "deployment", &appsv1.Deployment{}, &appsv1.DeploymentList{}, true},
	{appsv1.SchemeGroupVersion, "replicasets", "replicaset", &appsv1.ReplicaSet{}, &appsv1.ReplicaSetList{}, true},
	{appsv1.SchemeGroupVersion, "statefulsets", "statefulset", &appsv1.StatefulSet{}, &appsv1.StatefulSetList{}, true},
	{batchv1.SchemeGroupVersion, "jobs", "job", &batchv1.Job{}, &batchv1.JobList{}, true},
	{batchv1.SchemeGroupVersion, "cronjobs", "cronjob", &batchv1.CronJob{}, &batchv1.CronJobList{}, true},
	{coordinationv1.SchemeGroupVersion, "leases", "lease", &coordinationv1.Lease{}, &coordinationv1.LeaseList{}, true},
	{discoveryv1.SchemeGroupVersion, "endpointslices", "endpointslice", &discoveryv1.EndpointSlice{}, &discoveryv1.EndpointSliceList{}, true},
	{eventsv1.SchemeGroupVersion, "events", "event", &eventsv1.Event{}, &eventsv1.EventList{}, true},
	{networkingv1.SchemeGroupVersion, "networkpolicies", "networkpolicy", &networkingv1.NetworkPolicy{}, &networkingv1.NetworkPolicyList{}, true},
	{policyv1.SchemeGroupVersion, "poddisruptionbudgets", "poddisruptionbudget", &policyv1.PodDisruptionBudget{}, &policyv1.PodDisruptionBudgetList{}, true},
	{schedulingv1.SchemeGroupVersion, "priorityclasses", "priorityclass", &schedulingv1.PriorityClass{}, &schedulingv1.PriorityClassList{}, false},
	{rbacv1.SchemeGroupVersion, "roles", "role", &rbacv1.Role{}, &rbacv1.RoleList{}, true},
	{rbacv1.SchemeGroupVersion, "rolebindings", "rolebinding", &rbacv1.RoleBinding{}, &rbacv1.RoleBindingList{}, true},
	{rbacv1.SchemeGroupVersion, "clusterroles", "clusterrole", &rbacv1.ClusterRole{}, &rbacv1.ClusterRoleList{}, false},
	{rbacv1.SchemeGroupVersion, "clusterrolebindings", "clusterrolebinding", &rbacv1.ClusterRoleBinding{}, &rbacv1.ClusterRoleBindingList{}, false},
	{admissionregistrationv1.SchemeGroupVersion, "validatingadmissionpolicies", "validatingadmissionpolicy", &admissionregistrationv1.ValidatingAdmissionPolicy{}, &admissionregistrationv1.ValidatingAdmissionPolicyList{}, false},
	{admissionregistrationv1.SchemeGroupVersion, "validatingadmissionpolicybindings", "validatingadmissionpolicybinding", &admissionregistrationv1.ValidatingAdmissionPolicyBinding{}, &admissionregistrationv1.ValidatingAdmissionPolicyBindingList{}, false},
	{admissionregistrationv1.SchemeGroupVersion, "mutatingadmissionpolicies", "mutatingadmissionpolicy", &admissionregistrationv1.MutatingAdmissionPolicy{}, &admissionregistrationv1.MutatingAdmissionPolicyList{}, false},
	{admissionregistrationv1.SchemeGroupVersion, "mutatingadmissionpolicybindings", "mutatingadmissionpolicybinding", &admissionregistrationv1.MutatingAdmissionPolicyBinding{}, &admissionregistrationv1.MutatingAdmissionPolicyBindingList{}, false},
	{admissionregistrationv1.SchemeGroupVersion, "validatingwebhookconfigurations", "validatingwebhookconfiguration", &admissionregistrationv1.ValidatingWebhookConfiguration{}, &admissionregistrationv1.ValidatingWebhookConfigurationList{}, false},
	{admissionregistrationv1.SchemeGroupVersion, "mutatingwebhookconfigurations", "mutatingwebhookconfiguration", &admissionregistrationv1.MutatingWebhookConfiguration{}, &admissionregistrationv1.MutatingWebhookConfigurationList{}, false},
}

var (
	scheme = runtime.NewScheme()
	codecs = serializer.NewCodecFactory(scheme)
)

func init() {
	builders := []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme, coordinationv1.AddToScheme, discoveryv1.AddToScheme, eventsv1.AddToScheme,
		networkingv1.AddToScheme, policyv1.AddToScheme, schedulingv1.AddToScheme, rbacv1.AddToScheme, admissionregistrationv1.AddToScheme,
		authenticationv1.AddToScheme, authorizationv1.AddToScheme,
	}
	for _, build := range builders {
		must(build(scheme))
	}
	for _, gv := range groupVersions() {
		must(scheme.SetVersionPriority(gv))
		for kind, kept := range scheme.KnownTypes(gv) {
			// kube-apiserver has other types in memory than on the wire; here they are the same.
			if strings.HasPrefix(kept.PkgPath(), "k8s.io/api/") {
				object := reflect.New(kept).Interface().(runtime.Object)
				scheme.AddKnownTypeWithName(schema.GroupVersion{Group: gv.Group, Version: runtime.APIVersionInternal}.WithKind(kind), object)
				must(scheme.AddFieldLabelConversionFunc(gv.WithKind(kind), func(label, value string) (string, string, error) { return label, value, nil }))
			}
		}
	}
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	scheme.AddUnversionedTypes(schema.GroupVersion{Version: "v1"},
		&metav1.Status{}, &metav1.APIVersions{}, &metav1.APIGroupList{}, &metav1.APIGroup{}, &metav1.APIResourceList{})
	addDefaults(scheme)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func groupVersions() []schema.GroupVersion {
	seen := map[schema.GroupVersion]bool{}
	all := []schema.GroupVersion{}
	for _, resource := range resources {
		if !seen[resource.gv] {
			seen[resource.gv] = true
			all = append(all, resource.gv)
		}
	}
	return append(all, authenticationv1.SchemeGroupVersion, authorizationv1.SchemeGroupVersion)
}

// Gives the server everything that it serves.
func install(server *genericapiserver.GenericAPIServer, getter generic.RESTOptionsGetter, tokens *tokens, rights *rights) error {
	groups := map[schema.GroupVersion]map[string]rest.Storage{}
	for _, gv := range groupVersions() {
		groups[gv] = map[string]rest.Storage{}
	}
	for _, kind := range resources {
		main, status, err := stores(kind, getter)
		if err != nil {
			return fmt.Errorf("%s: %w", kind.plural, err)
		}
		groups[kind.gv][kind.plural] = main
		if status != nil {
			groups[kind.gv][kind.plural+"/status"] = status
		}
	}
	groups[core]["serviceaccounts/token"] = &tokenRequests{tokens}
	groups[authorizationv1.SchemeGroupVersion]["selfsubjectaccessreviews"] = &selfReviews{rights}
	groups[authorizationv1.SchemeGroupVersion]["subjectaccessreviews"] = &reviews{rights}
	for _, gv := range groupVersions() {
		info := genericapiserver.NewDefaultAPIGroupInfo(gv.Group, scheme, runtime.NewParameterCodec(scheme), codecs)
		info.VersionedResourcesStorageMap[gv.Version] = groups[gv]
		if len(groups[gv]) == 0 {
			continue
		}
		var err error
		if gv.Group == "" {
			err = server.InstallLegacyAPIGroup(genericapiserver.DefaultLegacyAPIPrefix, &info)
		} else {
			err = server.InstallAPIGroup(&info)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", gv, err)
		}
	}
	return nil
}

// A store that names its singular; a status of its own where there is one.
func stores(kind resource, getter generic.RESTOptionsGetter) (rest.Storage, rest.Storage, error) {
	hasStatus := reflect.ValueOf(kind.example).Elem().FieldByName("Status").IsValid()
	plan := &strategy{ObjectTyper: scheme, NameGenerator: names.SimpleNameGenerator, kind: kind, hasStatus: hasStatus}
	fresh := func(of runtime.Object) func() runtime.Object {
		kept := reflect.TypeOf(of).Elem()
		return func() runtime.Object { return reflect.New(kept).Interface().(runtime.Object) }
	}
	store := &genericregistry.Store{
		NewFunc:                   fresh(kind.example),
		NewListFunc:               fresh(kind.list),
		DefaultQualifiedResource:  schema.GroupResource{Group: kind.gv.Group, Resource: kind.plural},
		SingularQualifiedResource: schema.GroupResource{Group: kind.gv.Group, Resource: kind.singular},
		PredicateFunc: func(label labels.Selector, field fields.Selector) storage.SelectionPredicate {
			return storage.SelectionPredicate{Label: label, Field: field, GetAttrs: attributes}
		},
		CreateStrategy:      plan,
		UpdateStrategy:      plan,
		DeleteStrategy:      plan.deletion(),
		ResetFieldsStrategy: plan,
		ReturnDeletedObject: true,
		TableConvertor:      tables(kind),
	}
	if kind.plural == "namespaces" {
		// As without the controller that empties a namespace and then lets go of it.
		store.ShouldDeleteDuringUpdate = func(context.Context, string, runtime.Object, runtime.Object) bool { return false }
	}
	if err := store.CompleteWithOptions(&generic.StoreOptions{RESTOptions: getter, AttrFunc: attributes}); err != nil {
		return nil, nil, err
	}
	if !hasStatus {
		return store, nil, nil
	}
	other := *store
	statusPlan := &statusStrategy{plan}
	other.UpdateStrategy = statusPlan
	other.ResetFieldsStrategy = statusPlan
	return store, &statusStore{&other}, nil
}

// What can be asked for by field.
func attributes(object runtime.Object) (labels.Set, fields.Set, error) {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return nil, nil, err
	}
	set := fields.Set{"metadata.name": accessor.GetName()}
	if namespace := accessor.GetNamespace(); namespace != "" {
		set["metadata.namespace"] = namespace
	}
	switch kept := object.(type) {
	case *corev1.Pod:
		set["spec.nodeName"] = kept.Spec.NodeName
		set["status.phase"] = string(kept.Status.Phase)
		set["status.podIP"] = kept.Status.PodIP
		set["spec.serviceAccountName"] = kept.Spec.ServiceAccountName
	case *corev1.Event:
		set["involvedObject.kind"] = kept.InvolvedObject.Kind
		set["involvedObject.name"] = kept.InvolvedObject.Name
		set["involvedObject.namespace"] = kept.InvolvedObject.Namespace
		set["involvedObject.uid"] = string(kept.InvolvedObject.UID)
		set["reason"] = kept.Reason
		set["type"] = kept.Type
	case *corev1.Namespace:
		set["status.phase"] = string(kept.Status.Phase)
	case *corev1.Secret:
		set["type"] = string(kept.Type)
	}
	return accessor.GetLabels(), set, nil
}

func tables(kind resource) rest.TableConvertor {
	plain := rest.NewDefaultTableConvertor(schema.GroupResource{Group: kind.gv.Group, Resource: kind.plural})
	if kind.plural == "events" && kind.gv == core {
		return eventTable{plain}
	}
	return plain
}

// What `kubectl get events` shows.
type eventTable struct{ rest.TableConvertor }

func (t eventTable) ConvertToTable(ctx context.Context, object, options runtime.Object) (*metav1.Table, error) {
	table, err := t.TableConvertor.ConvertToTable(ctx, object, options)
	if err != nil {
		return nil, err
	}
	table.ColumnDefinitions = nil
	for _, name := range []string{"Last Seen", "Type", "Reason", "Object", "Message"} {
		table.ColumnDefinitions = append(table.ColumnDefinitions, metav1.TableColumnDefinition{Name: name, Type: "string"})
	}
	for at := range table.Rows {
		if event, is := table.Rows[at].Object.Object.(*corev1.Event); is {
			about := strings.ToLower(event.InvolvedObject.Kind) + "/" + event.InvolvedObject.Name
			table.Rows[at].Cells = []interface{}{event.LastTimestamp.String(), event.Type, event.Reason, about, strings.TrimSpace(event.Message)}
		}
	}
	return table, nil
}

// Addresses of services are given once.
var lastAddress atomic.Int32
