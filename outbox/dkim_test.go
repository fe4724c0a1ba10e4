package outbox

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
)

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func pemOf(t testing.TB, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// zone is the DNS with the public keys of selectors under harbourbooks.example.
func zone(t testing.TB, keys map[string]crypto.Signer) func(string) ([]string, error) {
	return func(name string) ([]string, error) {
		selector, ok := strings.CutSuffix(name, "._domainkey.harbourbooks.example")
		if !ok || keys[selector] == nil {
			return nil, fmt.Errorf("no record %s", name)
		}
		if public, ok := keys[selector].Public().(ed25519.PublicKey); ok { // RFC 8463 §4.2: the bare key
			return []string{"v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)}, nil
		}
		der, err := x509.MarshalPKIXPublicKey(keys[selector].Public())
		if err != nil {
			t.Fatal(err)
		}
		return []string{"v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)}, nil
	}
}

func composed(t testing.TB) []byte {
	t.Helper()
	m := letter()
	m.Headers = append(m.Headers, [2]string{"List-Unsubscribe", "<https://mail.harbourbooks.example/unsubscribe/t>"}, [2]string{"List-Unsubscribe-Post", "List-Unsubscribe=One-Click"})
	raw, err := Compose(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestDKIMSignaturesVerify(t *testing.T) {
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rsa.pem")
	if err := os.WriteFile(file, []byte(pemOf(t, rsaKey())), 0o600); err != nil {
		t.Fatal(err)
	}
	lookup := zone(t, map[string]crypto.Signer{"r": rsaKey(), "e": edKey})
	verify := func(raw []byte) (good int) {
		found, err := dkim.VerifyWithOptions(bytes.NewReader(raw), &dkim.VerifyOptions{LookupTXT: lookup})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range found {
			if v.Err == nil && v.Domain == "harbourbooks.example" {
				good++
			}
		}
		return good
	}
	for _, test := range []struct {
		name    string
		entries []DKIM
		want    int
	}{
		{"RSA from a file", []DKIM{{"harbourbooks.example", "r", file}}, 1},
		{"Ed25519 from text", []DKIM{{"Harbourbooks.Example", "e", pemOf(t, edKey)}}, 1},
		{"both", []DKIM{{"harbourbooks.example", "r", "file:" + file}, {"harbourbooks.example", "e", pemOf(t, edKey)}}, 2},
		{"another domain's key", []DKIM{{"books.example", "e", pemOf(t, edKey)}}, 0},
		{"none", nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := newSigner(test.entries)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := s.sign(composed(t))
			if err != nil {
				t.Fatal(err)
			}
			wellFormed(t, raw)
			if got := verify(raw); got != test.want {
				t.Fatalf("%d good signatures, want %d:\n%s", got, test.want, raw)
			}
			if test.want == 0 {
				return
			}
			for _, second := range []string{"From: other@example.com\r\n", "Subject: other\r\n", "List-Unsubscribe: <https://evil.example>\r\n", "List-Unsubscribe-Post: x\r\n"} {
				if verify(append([]byte(second), raw...)) != 0 {
					t.Errorf("a second field %q is not noticed", second)
				}
			}
		})
	}
}

func TestDKIMErrorsAreSentences(t *testing.T) {
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := pemOf(t, rsaKey())
	for _, test := range []struct {
		name  string
		entry DKIM
		want  string
	}{
		{"no domain", DKIM{"", "s", good}, "the part after the @"},
		{"no selector", DKIM{"a.example", "", good}, "._domainkey.a.example"},
		{"no key", DKIM{"a.example", "s", ""}, "missing"},
		{"no such file", DKIM{"a.example", "s", "/nowhere/key.pem"}, "cannot be read"},
		{"only the first line", DKIM{"a.example", "s", "-----BEGIN PRIVATE KEY-----"}, "name of the file"},
		{"a public key", DKIM{"a.example", "s", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}))}, "not an unencrypted private key"},
		{"another kind", DKIM{"a.example", "s", pemOf(t, ecKey)}, "RSA and Ed25519 only"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := newSigner([]DKIM{{"b.example", "s", good}, test.entry})
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "entry 2") {
				t.Errorf("got %v, want %q of entry 2", err, test.want)
			}
		})
	}
}

func BenchmarkSignEd25519(b *testing.B) {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	benchmarkSign(b, pemOf(b, key))
}

func BenchmarkSignRSA2048(b *testing.B) { benchmarkSign(b, pemOf(b, rsaKey())) }

func benchmarkSign(b *testing.B, key string) {
	s, err := newSigner([]DKIM{{"harbourbooks.example", "s", key}})
	if err != nil {
		b.Fatal(err)
	}
	raw := composed(b)
	for b.Loop() {
		if _, err := s.sign(raw); err != nil {
			b.Fatal(err)
		}
	}
}
