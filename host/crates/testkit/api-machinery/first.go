// What is there before anybody has created anything.

package main

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/kubernetes"
)

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
