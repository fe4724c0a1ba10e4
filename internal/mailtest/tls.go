package mailtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Authority is a private certificate authority, made on the spot. Servers of this package show its certificates; clients
// trust it by the file that WriteFile leaves.
type Authority struct {
	certificate *x509.Certificate
	der         []byte
	key         *ecdsa.PrivateKey
}

// NewAuthority makes an authority that is valid for a day around now.
func NewAuthority() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("mailtest: make the authority's key: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano()),
		Subject:               pkix.Name{CommonName: "Returnpost test authority"},
		NotBefore:             now.Add(-24 * time.Hour),
		NotAfter:              now.Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("mailtest: sign the authority: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("mailtest: read the authority back: %w", err)
	}
	return &Authority{certificate: certificate, der: der, key: key}, nil
}

// Certificate makes a server's certificate for the names and IP addresses given, valid until notAfter; a notAfter in the
// past makes an expired one.
func (a *Authority) Certificate(notAfter time.Time, names ...string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("mailtest: make a server's key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "Returnpost test server"},
		NotBefore:    notAfter.Add(-48 * time.Hour),
		NotAfter:     notAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("mailtest: sign the certificate for %v: %w", names, err)
	}
	return tls.Certificate{Certificate: [][]byte{der, a.der}, PrivateKey: key}, nil
}

// PEM is the authority's own certificate, as a CA file holds it.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.der})
}

// WriteFile puts the authority's certificate into a CA file in dir and returns the file's path.
func (a *Authority) WriteFile(dir string) (string, error) {
	path := filepath.Join(dir, "mailtest-ca.pem")
	if err := os.WriteFile(path, a.PEM(), 0o600); err != nil {
		return "", fmt.Errorf("mailtest: write the CA file: %w", err)
	}
	return path, nil
}

// serverTLS is the configuration of a server: the certificate given, or one of the authority's for this machine.
func serverTLS(a *Authority, given *tls.Certificate) (*tls.Config, error) {
	if given == nil {
		made, err := a.Certificate(time.Now().Add(12*time.Hour), "127.0.0.1", "localhost")
		if err != nil {
			return nil, err
		}
		given = &made
	}
	return &tls.Config{Certificates: []tls.Certificate{*given}, MinVersion: tls.VersionTLS12}, nil
}
