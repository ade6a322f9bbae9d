// What becomes of an object before it is kept: the few rules of kube-apiserver that clients see.

package main

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/names"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

type strategy struct {
	runtime.ObjectTyper
	names.NameGenerator
	kind      resource
	hasStatus bool
}

func (s *strategy) NamespaceScoped() bool { return s.kind.namespaced }
func (s *strategy) AllowCreateOnUpdate() bool {
	return s.kind.plural == "leases" || s.kind.plural == "events" || s.kind.gv == rbacv1.SchemeGroupVersion
}
func (s *strategy) AllowUnconditionalUpdate() bool                                   { return true }
func (s *strategy) Canonicalize(runtime.Object)                                      {}
func (s *strategy) WarningsOnCreate(context.Context, runtime.Object) []string        { return nil }
func (s *strategy) WarningsOnUpdate(_ context.Context, _, _ runtime.Object) []string { return nil }

func (s *strategy) PrepareForCreate(_ context.Context, object runtime.Object) {
	if s.hasStatus {
		value(object, "Status").SetZero()
	}
	switch kept := object.(type) {
	case *corev1.Pod:
		kept.Status.Phase = corev1.PodPending
		kept.Status.QOSClass = corev1.PodQOSBestEffort
	case *corev1.Namespace:
		kept.Status.Phase = corev1.NamespaceActive
		kept.Spec.Finalizers = []corev1.FinalizerName{corev1.FinalizerKubernetes}
	case *corev1.Service:
		if kept.Spec.ClusterIP == "" && kept.Spec.Type != corev1.ServiceTypeExternalName {
			kept.Spec.ClusterIP = fmt.Sprintf("10.0.0.%d", lastAddress.Add(1))
		}
		if kept.Spec.ClusterIP != "" {
			kept.Spec.ClusterIPs = []string{kept.Spec.ClusterIP}
		}
	}
	if accessor, err := meta.Accessor(object); err == nil && value(object, "Spec").IsValid() {
		accessor.SetGeneration(1)
	}
}

func (s *strategy) PrepareForUpdate(_ context.Context, object, old runtime.Object) {
	if s.hasStatus {
		value(object, "Status").Set(value(old, "Status"))
	}
	spec, before := value(object, "Spec"), value(old, "Spec")
	if spec.IsValid() && !reflect.DeepEqual(spec.Interface(), before.Interface()) {
		next, _ := meta.Accessor(object)
		last, _ := meta.Accessor(old)
		next.SetGeneration(last.GetGeneration() + 1)
	}
}

func (s *strategy) Validate(_ context.Context, object runtime.Object) field.ErrorList {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return field.ErrorList{field.InternalError(field.NewPath("metadata"), err)}
	}
	check := validation.NameIsDNSSubdomain
	switch {
	case s.kind.gv.Group == "rbac.authorization.k8s.io":
		check = func(name string, prefix bool) []string { return nil }
	case s.kind.plural == "namespaces":
		check = validation.ValidateNamespaceName
	case s.kind.plural == "services":
		check = validation.NameIsDNS1035Label
	}
	wrong := validation.ValidateObjectMetaAccessor(accessor, s.kind.namespaced, check, field.NewPath("metadata"))
	if kept, is := object.(*corev1.ConfigMap); is {
		wrong = append(wrong, validateConfigMap(kept)...)
	}
	if kept, is := object.(*corev1.Pod); is {
		wrong = append(wrong, validatePod(kept)...)
	}
	return wrong
}

func (s *strategy) ValidateUpdate(ctx context.Context, object, old runtime.Object) field.ErrorList {
	next, _ := meta.Accessor(object)
	last, _ := meta.Accessor(old)
	wrong := validation.ValidateObjectMetaAccessorUpdate(next, last, field.NewPath("metadata"))
	if kept, is := old.(*corev1.ConfigMap); is && kept.Immutable != nil && *kept.Immutable {
		if !reflect.DeepEqual(kept.Data, object.(*corev1.ConfigMap).Data) {
			wrong = append(wrong, field.Forbidden(field.NewPath("data"), "field is immutable when `immutable` is set"))
		}
	}
	return append(wrong, s.Validate(ctx, object)...)
}

func (s *strategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	if !s.hasStatus {
		return nil
	}
	return map[fieldpath.APIVersion]*fieldpath.Set{fieldpath.APIVersion(s.kind.gv.String()): fieldpath.NewSet(fieldpath.MakePathOrDie("status"))}
}

// How objects of this kind are deleted: pods and namespaces linger.
func (s *strategy) deletion() rest.RESTDeleteStrategy {
	switch s.kind.plural {
	case "pods", "namespaces":
		return &graceful{s}
	}
	return s
}

type graceful struct{ *strategy }

func (g *graceful) CheckGracefulDelete(_ context.Context, object runtime.Object, options *metav1.DeleteOptions) bool {
	period := int64(0)
	switch kept := object.(type) {
	case *corev1.Namespace:
		// Until its finalizer is gone; nobody takes it away.
		kept.Status.Phase = corev1.NamespaceTerminating
		period = 1
		options.GracePeriodSeconds = &period
		return true
	case *corev1.Pod:
		if kept.Spec.TerminationGracePeriodSeconds != nil {
			period = *kept.Spec.TerminationGracePeriodSeconds
		}
		if options.GracePeriodSeconds != nil {
			period = *options.GracePeriodSeconds
		}
		if kept.Spec.NodeName == "" || kept.Status.Phase == corev1.PodFailed || kept.Status.Phase == corev1.PodSucceeded {
			period = 0
		}
	}
	options.GracePeriodSeconds = &period
	return true
}

// The same for the status alone.
type statusStrategy struct{ *strategy }

func (s *statusStrategy) PrepareForUpdate(_ context.Context, object, old runtime.Object) {
	if spec := value(object, "Spec"); spec.IsValid() {
		spec.Set(value(old, "Spec"))
	}
	next, _ := meta.Accessor(object)
	last, _ := meta.Accessor(old)
	next.SetLabels(last.GetLabels())
	next.SetGeneration(last.GetGeneration())
	next.SetOwnerReferences(last.GetOwnerReferences())
	next.SetDeletionTimestamp(last.GetDeletionTimestamp())
}

func (s *statusStrategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	set := fieldpath.NewSet(fieldpath.MakePathOrDie("spec"), fieldpath.MakePathOrDie("metadata", "labels"))
	return map[fieldpath.APIVersion]*fieldpath.Set{fieldpath.APIVersion(s.kind.gv.String()): set}
}

// Serves `/status`: to get, to update and to patch, no more.
type statusStore struct{ store *genericregistry.Store }

func (s *statusStore) New() runtime.Object { return s.store.New() }
func (s *statusStore) Destroy()            {}
func (s *statusStore) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	return s.store.Get(ctx, name, options)
}
func (s *statusStore) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc, update rest.ValidateObjectUpdateFunc, _ bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return s.store.Update(ctx, name, info, create, update, false, options)
}
func (s *statusStore) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return s.store.GetResetFields()
}
func (s *statusStore) ConvertToTable(ctx context.Context, object, options runtime.Object) (*metav1.Table, error) {
	return s.store.ConvertToTable(ctx, object, options)
}

func value(object runtime.Object, name string) reflect.Value {
	return reflect.ValueOf(object).Elem().FieldByName(name)
}

func validateConfigMap(kept *corev1.ConfigMap) field.ErrorList {
	wrong := field.ErrorList{}
	size := 0
	for key, text := range kept.Data {
		for _, words := range utilvalidation.IsConfigMapKey(key) {
			wrong = append(wrong, field.Invalid(field.NewPath("data").Key(key), key, words))
		}
		size += len(text)
	}
	for _, bytes := range kept.BinaryData {
		size += len(bytes)
	}
	if size > corev1.MaxSecretSize {
		wrong = append(wrong, field.TooLong(field.NewPath(""), "", corev1.MaxSecretSize))
	}
	return wrong
}

func validatePod(kept *corev1.Pod) field.ErrorList {
	wrong := field.ErrorList{}
	if len(kept.Spec.Containers) == 0 {
		wrong = append(wrong, field.Required(field.NewPath("spec", "containers"), ""))
	}
	for at, container := range kept.Spec.Containers {
		if strings.TrimSpace(container.Name) == "" {
			wrong = append(wrong, field.Required(field.NewPath("spec", "containers").Index(at).Child("name"), ""))
		}
	}
	return wrong
}

func addDefaults(scheme *runtime.Scheme) {
	scheme.AddTypeDefaultingFunc(&corev1.Pod{}, func(object interface{}) {
		spec := &object.(*corev1.Pod).Spec
		if spec.RestartPolicy == "" {
			spec.RestartPolicy = corev1.RestartPolicyAlways
		}
		if spec.DNSPolicy == "" {
			spec.DNSPolicy = corev1.DNSClusterFirst
		}
		if spec.TerminationGracePeriodSeconds == nil {
			period := int64(corev1.DefaultTerminationGracePeriodSeconds)
			spec.TerminationGracePeriodSeconds = &period
		}
	})
	scheme.AddTypeDefaultingFunc(&corev1.Service{}, func(object interface{}) {
		spec := &object.(*corev1.Service).Spec
		if spec.Type == "" {
			spec.Type = corev1.ServiceTypeClusterIP
		}
		for at := range spec.Ports {
			if spec.Ports[at].Protocol == "" {
				spec.Ports[at].Protocol = corev1.ProtocolTCP
			}
		}
	})
	scheme.AddTypeDefaultingFunc(&corev1.Namespace{}, func(object interface{}) {
		namespace := object.(*corev1.Namespace)
		if namespace.Name != "" && namespace.Labels[corev1.LabelMetadataName] == "" {
			if namespace.Labels == nil {
				namespace.Labels = map[string]string{}
			}
			namespace.Labels[corev1.LabelMetadataName] = namespace.Name
		}
	})
}
