// Who somebody is: tokens of a file and of service accounts.

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
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/token/tokenfile"
	"k8s.io/apiserver/pkg/authentication/token/union"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
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
