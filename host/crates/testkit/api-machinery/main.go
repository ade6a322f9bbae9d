// An API server of the library that kube-apiserver is made of, with its types.
//
// Requests, lists, watches, streaming lists, server-side apply, strict decoding, admission policies, custom resources, in-flight limits and audit are those of
// kube-apiserver of the same version: the same code. What kube-apiserver adds to the library is not here: its validation, most of its defaults, Pod Security, priorities; of quotas only `ConfigMap`s are counted.
// Tokens, rights, namespaces and the few defaults that clients see are written anew, in the other files.
package main

import (
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	extensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
	extensionsoptions "k8s.io/apiextensions-apiserver/pkg/cmd/server/options"
	extensionsopenapi "k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	"k8s.io/apiserver/pkg/admission/plugin/resourcequota"
	"k8s.io/apiserver/pkg/endpoints/discovery/aggregated"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	quota "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/apiserver/pkg/quota/v1/generic"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/apiserver/pkg/util/openapi"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	_ "k8s.io/component-base/metrics/prometheus/workqueue"
	"k8s.io/component-base/version"

	noop "go.opentelemetry.io/otel/trace/noop"

	generated "apimachinery/openapi"
)

// What the command line says; flags that mean nothing here are taken all the same.
type options struct {
	run       *genericoptions.ServerRunOptions
	etcd      *genericoptions.EtcdOptions
	serving   *genericoptions.SecureServingOptionsWithLoopback
	audit     *genericoptions.AuditOptions
	features  *genericoptions.FeatureOptions
	admission *genericoptions.AdmissionOptions
	access    accessOptions
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	o := options{
		run:       genericoptions.NewServerRunOptions(),
		etcd:      genericoptions.NewEtcdOptions(storagebackend.NewDefaultConfig("/registry", codecs.LegacyCodec(groupVersions()...))),
		serving:   genericoptions.NewSecureServingOptions().WithLoopback(),
		audit:     genericoptions.NewAuditOptions(),
		features:  genericoptions.NewFeatureOptions(),
		admission: genericoptions.NewAdmissionOptions(),
	}
	o.serving.BindPort = 6443
	resourcequota.Register(o.admission.Plugins)
	o.admission.RecommendedPluginOrder = append(o.admission.RecommendedPluginOrder, resourcequota.PluginName)
	flags := pflag.NewFlagSet("kube-apiserver", pflag.ContinueOnError)
	o.run.AddUniversalFlags(flags)
	o.etcd.AddFlags(flags)
	o.serving.AddFlags(flags)
	o.audit.AddFlags(flags)
	o.features.AddFlags(flags)
	o.access.addFlags(flags)
	tell := flags.Bool("version", false, "Print the version and end")
	disabled := flags.StringSlice("disable-admission-plugins", nil, "Taken for those that are here")
	for _, name := range []string{"authorization-mode", "anonymous-auth", "service-cluster-ip-range", "endpoint-reconciler-type", "api-audiences"} {
		flags.String(name, "", "Taken and not looked at")
	}
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	if *tell {
		fmt.Printf("Kubernetes %s (its library and types: no kube-apiserver)\n", version.Get().GitVersion)
		return nil
	}
	for _, plugin := range *disabled {
		for _, known := range o.admission.Plugins.Registered() {
			if plugin == known {
				o.admission.DisablePlugins = append(o.admission.DisablePlugins, plugin)
			}
		}
	}
	// Priorities are objects of kube-apiserver; without them there are two plain limits.
	o.features.EnablePriorityAndFairness = false
	return serve(o)
}

func serve(o options) error {
	if err := o.run.ComponentGlobalsRegistry.Set(); err != nil {
		return err
	}
	if err := o.run.DefaultAdvertiseAddress(o.serving.SecureServingOptions); err != nil {
		return err
	}
	if err := o.serving.MaybeDefaultWithSelfSignedCerts("localhost", []string{"kubernetes.default.svc"}, []net.IP{net.IPv4(127, 0, 0, 1)}); err != nil {
		return err
	}
	config := genericapiserver.NewRecommendedConfig(codecs)
	if err := o.run.ApplyTo(&config.Config); err != nil {
		return err
	}
	namer := openapinamer.NewDefinitionNamer(scheme, extensions.Scheme, clientscheme.Scheme)
	definitions := openapi.GetOpenAPIDefinitionsWithoutDisabledFeatures(generated.GetOpenAPIDefinitions)
	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(definitions, namer)
	config.OpenAPIConfig.Info.Title = "Kubernetes"
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(definitions, namer)
	config.AggregatedDiscoveryGroupManager = aggregated.NewResourceManager("apis")
	if err := o.etcd.ApplyTo(&config.Config); err != nil {
		return err
	}
	if err := o.serving.ApplyTo(&config.Config.SecureServing, &config.Config.LoopbackClientConfig); err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config.LoopbackClientConfig)
	if err != nil {
		return err
	}
	dynamicClient, err := dynamic.NewForConfig(config.LoopbackClientConfig)
	if err != nil {
		return err
	}
	config.ClientConfig = config.LoopbackClientConfig
	config.SharedInformerFactory = informers.NewSharedInformerFactory(client, 0)
	rights := newRights(config.SharedInformerFactory)
	tokens, err := o.access.tokens(config.SharedInformerFactory)
	if err != nil {
		return err
	}
	config.Authentication.Authenticator = tokens.authenticator()
	config.Authorization.Authorizer = rights.authorizer()
	if err := o.audit.ApplyTo(&config.Config); err != nil {
		return err
	}
	if err := o.features.ApplyTo(&config.Config, client, config.SharedInformerFactory); err != nil {
		return err
	}
	if err := o.admission.ApplyTo(&config.Config, config.SharedInformerFactory, client, dynamicClient, utilfeature.DefaultFeatureGate,
		config.EffectiveVersion, counting{quotas(config.SharedInformerFactory)}); err != nil {
		return err
	}

	// Informers, and so the rights, must not keep the requests waiting that they themselves make.
	extra, err := customResources(o, config, namer)
	if err != nil {
		return err
	}
	server, err := config.Complete().New("kube-apiserver", extra.GenericAPIServer)
	if err != nil {
		return err
	}
	if err := install(server, config.RESTOptionsGetter, tokens, rights); err != nil {
		return err
	}
	server.AddPostStartHookOrDie("first-objects", firstObjects(client))
	return server.PrepareRun().RunWithContext(genericapiserver.SetupSignalContext())
}

// Tells whoever has to know how objects are counted.
type counting struct{ quota.Configuration }

func (c counting) Initialize(plugin admission.Interface) {
	if wants, is := plugin.(initializer.WantsQuotaConfiguration); is {
		wants.SetQuotaConfiguration(c.Configuration)
	}
}

// Objects are counted, what they ask for is not.
func quotas(factory informers.SharedInformerFactory) quota.Configuration {
	listers := generic.ListerFuncForResourceFunc(factory.ForResource)
	counted := generic.NewObjectCountEvaluator(core.WithResource("configmaps").GroupResource(), generic.ListResourceUsingListerFunc(listers, core.WithResource("configmaps")), corev1.ResourceConfigMaps)
	return generic.NewConfiguration([]quota.Evaluator{counted}, nil)
}

// The server of custom resources, which has what the first one does not know.
func customResources(o options, shared *genericapiserver.RecommendedConfig, namer *openapinamer.DefinitionNamer) (*extensions.CustomResourceDefinitions, error) {
	own := *shared
	own.PostStartHooks = map[string]genericapiserver.PostStartHookConfigEntry{}
	own.Serializer = extensions.Codecs
	own.OpenAPIConfig = nil
	definitions := openapi.GetOpenAPIDefinitionsWithoutDisabledFeatures(extensionsopenapi.GetOpenAPIDefinitions)
	own.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(definitions, namer)
	own.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(definitions, namer)
	own.SkipOpenAPIInstallation = true
	etcd := *o.etcd
	etcd.StorageConfig.Codec = extensions.Codecs.LegacyCodec(apiextensionsv1.SchemeGroupVersion)
	getter := etcd.CreateRESTOptionsGetter(&genericoptions.SimpleStorageFactory{StorageConfig: etcd.StorageConfig}, own.ResourceTransformers)
	own.RESTOptionsGetter = getter
	own.MergedResourceConfig = extensions.DefaultAPIResourceConfigSource()
	config := extensions.Config{
		GenericConfig: &own,
		ExtraConfig: extensions.ExtraConfig{
			CRDRESTOptionsGetter: extensionsoptions.NewCRDRESTOptionsGetter(etcd, own.ResourceTransformers, own.StorageObjectCountTracker),
			MasterCount:          1,
			AuthResolverWrapper:  webhook.NewDefaultAuthenticationInfoResolverWrapper(nil, nil, own.LoopbackClientConfig, noop.NewTracerProvider()),
		},
	}
	server, err := config.Complete().New(genericapiserver.NewEmptyDelegate())
	if err != nil && strings.Contains(err.Error(), "already registered") {
		return nil, fmt.Errorf("custom resources: %w", err)
	}
	return server, err
}
