// A client over Go's own TLS stack. It prints what it was told; a refusal goes to standard error with exit code 1.
//
//	client verify CHAIN ROOTS client|server DNS-NAME URI
//	client crl    LIST ISSUER SERIAL          (prints "revoked" or "good")
//	client get    URL CHAIN KEY ROOTS
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"time"
)

func main() {
	said, err := run(os.Args[1], os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(said)
}

func run(mode string, with []string) (string, error) {
	switch mode {
	case "verify":
		return verify(with[0], with[1], with[2], with[3], with[4])
	case "crl":
		return crl(with[0], with[1], with[2])
	case "get":
		return get(with[0], with[1], with[2], with[3])
	}
	return "", errors.New("verify, crl or get")
}

func pool(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	found := x509.NewCertPool()
	if err == nil && !found.AppendCertsFromPEM(text) {
		err = errors.New("no certificates in " + path)
	}
	return found, err
}

func certificate(path string) (*x509.Certificate, []byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	block, rest := pem.Decode(text)
	found, err := x509.ParseCertificate(block.Bytes)
	return found, rest, err
}

func verify(chain, trusted, purpose, name, uri string) (string, error) {
	roots, err := pool(trusted)
	if err != nil {
		return "", err
	}
	leaf, rest, err := certificate(chain)
	if err != nil {
		return "", err
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != uri {
		return "", fmt.Errorf("it names %v", leaf.URIs)
	}
	if len(leaf.UnhandledCriticalExtensions) > 0 {
		return "", errors.New("an extension is not understood")
	}
	between := x509.NewCertPool()
	between.AppendCertsFromPEM(rest)
	use := map[string]x509.ExtKeyUsage{"client": x509.ExtKeyUsageClientAuth, "server": x509.ExtKeyUsageServerAuth}
	wanted := x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{use[purpose]}}
	if purpose == "server" {
		wanted.DNSName = name
	}
	_, err = leaf.Verify(wanted)
	return "", err
}

func crl(path, issuer, serial string) (string, error) {
	der, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return "", err
	}
	signer, _, err := certificate(issuer)
	if err != nil {
		return "", err
	}
	if err = list.CheckSignatureFrom(signer); err != nil {
		return "", err
	}
	if now := time.Now(); now.Before(list.ThisUpdate) || now.After(list.NextUpdate) {
		return "", errors.New("the list is not of now")
	}
	number, _ := new(big.Int).SetString(serial, 16)
	for _, each := range list.RevokedCertificateEntries {
		if each.SerialNumber.Cmp(number) == 0 {
			return "revoked", nil
		}
	}
	return "good", nil
}

func get(url, chain, key, trusted string) (string, error) {
	roots, err := pool(trusted)
	if err != nil {
		return "", err
	}
	pair, err := tls.LoadX509KeyPair(chain, key)
	if err != nil {
		return "", err
	}
	shown := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: shown}}
	answer, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return fmt.Sprintf("%d %s", answer.StatusCode, body), err
}
