// Package mailtest runs an IMAP server and an SMTP server in memory, on loopback ports the system picks, for the tests
// and for the demo.
//
// The protocols are spoken by emersion/go-imap (RFC 9051, RFC 3501, IDLE of RFC 2177) and emersion/go-smtp (RFC 5321,
// pipelining of RFC 2920, STARTTLS of RFC 3207, AUTH of RFC 4954). What real servers do on bad days and those libraries
// never do is put in at the byte level, in front of them: see Script for SMTP and Mischief for IMAP.
//
// Nothing here is kept on disk and nothing listens beyond 127.0.0.1. A failure to start is returned; what goes wrong later
// in a session ends that session alone, as on a real server.
package mailtest
