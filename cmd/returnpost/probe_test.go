package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/returnpost/returnpost/internal/mailtest"
	"github.com/returnpost/returnpost/store"
)

func TestProbeFindsOutWhetherSubaddressingWorks(t *testing.T) {
	const address = "support@harbourbooks.example"
	for _, tt := range []struct {
		name   string
		answer mailtest.Script
		works  bool
	}{
		{"it works", nil, true},
		{"the server knows no such user", func(stage mailtest.Stage, _ mailtest.Session) *mailtest.Reply {
			if stage == mailtest.StageRcpt {
				return &mailtest.Reply{Code: 550, Status: "5.1.1", Text: "no such user"}
			}
			return nil
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			imap, err := mailtest.StartIMAP(mailtest.IMAPOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer imap.Close()
			imap.AddUser(address, "secret")
			smtp, err := mailtest.StartSMTP(mailtest.SMTPOptions{Script: tt.answer, OnMessage: func(r mailtest.Received) {
				if strings.HasPrefix(r.To, "support+") {
					if _, err := imap.Append(address, "INBOX", r.Data, r.At); err != nil {
						t.Error(err)
					}
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer smtp.Close()
			dir := t.TempDir()
			file := filepath.Join(dir, "config.yaml")
			_, smtpPort, _ := strings.Cut(smtp.Addr(), ":")
			_, imapPort, _ := strings.Cut(imap.Addr(), ":")
			yaml := fmt.Sprintf("business: {name: Harbour Books}\nsmtp: {host: 127.0.0.1, port: %s, security: none}\nmailboxes:\n  support:\n    address: %s\n    imap: {host: 127.0.0.1, port: %s, security: none, username: %s, password: secret}\n",
				smtpPort, address, imapPort, address)
			if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
				t.Fatal(err)
			}
			var out, errs bytes.Buffer
			if code := run(t.Context(), []string{"--config", file, "check", "--probe", "--json"}, nil, &out, &errs); code != exitDone {
				t.Fatalf("exit %d\n%s%s", code, out.String(), errs.String())
			}
			db, err := store.Open(t.Context(), filepath.Join(dir, "returnpost.db"), store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			held, err := db.RegisterMailbox(t.Context(), "support", address)
			if err != nil {
				t.Fatal(err)
			}
			if held.Subaddress == nil || *held.Subaddress != tt.works {
				t.Errorf("kept %v, want %v\n%s", held.Subaddress, tt.works, out.String())
			}
		})
	}
}
