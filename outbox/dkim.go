package outbox

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/textproto"
	"os"
	"strings"

	"github.com/emersion/go-msgauth/dkim"
)

// DKIM is one key to sign with (RFC 6376). Letters are signed whose From is of Domain or below it; with an RSA and an
// Ed25519 key for one domain they carry both signatures (RFC 8463 §3). Ed25519 costs some 70 µs a letter, RSA of 2048 bits
// about 1 ms, which bounds sending to some 800 letters a second for each processor core.
type DKIM struct {
	Domain   string `yaml:"domain"`
	Selector string `yaml:"selector"`
	Key      string `yaml:"key"` // the private key in PEM, or the name of a file that holds it
}

// signed are the fields under the signature. Each but the last group is named once more than it stands in the letter, so
// that nobody can add a second one (RFC 6376 §5.4, oversigning). List-Unsubscribe and List-Unsubscribe-Post must be
// signed for one-click unsubscription (RFC 8058 §4).
var (
	oversigned = []string{"From", "To", "Cc", "Reply-To", "Subject", "Date", "Message-ID", "In-Reply-To", "References",
		"MIME-Version", "Content-Type", "Content-Transfer-Encoding", "List-Unsubscribe", "List-Unsubscribe-Post"}
	alsoSigned = []string{"Auto-Submitted", "Content-Language", "List-Id", "Precedence"}
)

// signer signs with every key that fits the letter.
type signer struct {
	keys []*dkim.SignOptions
}

// newSigner parses the keys, once. Errors say which entry is wrong and how to mend it.
func newSigner(entries []DKIM) (*signer, error) {
	s := &signer{}
	var mistakes []error
	for i, entry := range entries {
		options, err := signOptions(entry)
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("smtp.dkim entry %d: %w", i+1, err))
			continue
		}
		s.keys = append(s.keys, options)
	}
	return s, errors.Join(mistakes...)
}

func signOptions(entry DKIM) (*dkim.SignOptions, error) {
	domain := strings.ToLower(strings.Trim(entry.Domain, ". "))
	switch {
	case domain == "" || strings.ContainsAny(domain, " @;"):
		return nil, fmt.Errorf("domain %q is not a domain; it is the part after the @ of your address", entry.Domain)
	case entry.Selector == "" || strings.ContainsAny(entry.Selector, " @;"):
		return nil, fmt.Errorf("selector %q for %s is not a selector; it is the name before ._domainkey.%s in the DNS", entry.Selector, domain, domain)
	case entry.Key == "":
		return nil, fmt.Errorf("the key for %s is missing; give the file that holds the private key", domain)
	}
	key, err := privateKey(entry.Key)
	if err != nil {
		return nil, fmt.Errorf("the key for %s %w", domain, err)
	}
	return &dkim.SignOptions{
		Domain: domain, Selector: entry.Selector, Signer: key, Hash: crypto.SHA256,
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
		HeaderKeys: append(append(append([]string{}, oversigned...), oversigned...), alsoSigned...),
	}, nil
}

// privateKey reads a key in PEM: PKCS #8 (what openssl genpkey writes) or PKCS #1.
func privateKey(text string) (crypto.Signer, error) {
	if !strings.Contains(text, "-----BEGIN") {
		path := strings.TrimPrefix(text, "file:")
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("cannot be read: %w", err)
		}
		text = string(content)
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("is not a whole PEM block, from -----BEGIN to -----END; give the name of the file instead of its text")
	}
	if block.Type == "RSA PRIVATE KEY" {
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			return nil, errors.New("is broken: take the file that openssl wrote, unchanged")
		}
		return checkRSA(key)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("is a %q, not an unencrypted private key", block.Type)
	}
	switch key := parsed.(type) {
	case *rsa.PrivateKey:
		return checkRSA(key)
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, errors.New("is of another kind; DKIM knows RSA and Ed25519 only")
}

func checkRSA(key *rsa.PrivateKey) (crypto.Signer, error) {
	if key.N.BitLen() < 1024 { // RFC 8301 §3.2: verifiers must not accept less
		return nil, fmt.Errorf("has %d bits; receivers want 2048", key.N.BitLen())
	}
	return key, nil
}

// sign returns the letter with the signatures that fit it before it, the letter itself when none does.
func (s *signer) sign(letter []byte) ([]byte, error) {
	if s == nil || len(s.keys) == 0 {
		return letter, nil
	}
	domain := authorDomain(letter)
	var fields []byte
	for _, key := range s.keys {
		if domain != key.Domain && !strings.HasSuffix(domain, "."+key.Domain) {
			continue
		}
		one, err := dkim.NewSigner(key)
		if err != nil {
			return nil, fmt.Errorf("sign for %s: %w", key.Domain, err)
		}
		_, err = one.Write(letter)
		if err = errors.Join(err, one.Close()); err != nil {
			return nil, fmt.Errorf("sign for %s: %w", key.Domain, err)
		}
		fields = append(fields, one.Signature()...)
	}
	if fields == nil {
		return letter, nil
	}
	return append(fields, letter...), nil
}

// authorDomain is the domain of the letter's From: the one that a signature must align with (RFC 7489 §3.1.1).
func authorDomain(letter []byte) string {
	header, _, _ := bytes.Cut(letter, []byte("\r\n\r\n"))
	folded := strings.NewReplacer("\r\n ", " ", "\r\n\t", " ").Replace(string(header))
	for line := range strings.SplitSeq(folded, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		if textproto.CanonicalMIMEHeaderKey(name) == "From" {
			if a, err := parseAddress(value); err == nil {
				_, domain, _ := cutAddress(a.Address)
				return strings.ToLower(domain)
			}
		}
	}
	return ""
}
