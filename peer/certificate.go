package peer

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

const (
	maxName  = 64 // of a cluster or a gateway
	uriStart = "bellwire://"
	uriRole  = "/gateway/"
)

// CertificateName is the URI that a gateway's certificate has as its only bellwire one:
// bellwire://CLUSTER/gateway/NAME. The error says which of the two is no name: both are 1–64 letters, digits and, not
// first, . - _ and :, but a cluster has neither capitals nor colons.
func CertificateName(cluster, name string) (*url.URL, error) {
	if err := checkName("cluster", cluster); err != nil {
		return nil, err
	}
	if err := checkName("gateway", name); err != nil {
		return nil, err
	}
	return &url.URL{Scheme: "bellwire", Host: cluster, Path: uriRole + name}, nil
}

// checkName says what is wrong with the name of a cluster or gateway. The letters mean nothing else where they stand in a
// URI or a log line, and there is one way to write each.
func checkName(what, s string) error {
	cluster := what == "cluster"
	if s == "" || len(s) > maxName {
		return fmt.Errorf("%s name %.80q: want 1 to %d bytes", what, s, maxName)
	}
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' && !cluster
		if !letter && (i == 0 || c != '.' && c != '-' && c != '_' && (c != ':' || cluster)) {
			return fmt.Errorf("%s name %q: byte %d (%q): want letters, digits and, not first, . - _", what, s, i, c)
		}
	}
	return nil
}

// CertifiedName is the cluster and name that a gateway's certificate proves. It compares bytes: nothing is decoded, so that
// there is one spelling.
func CertifiedName(c *x509.Certificate) (cluster, name string, err error) {
	found := ""
	for _, uri := range c.URIs {
		if s := uri.String(); len(s) >= 8 && strings.EqualFold(s[:8], "bellwire") {
			if found != "" {
				return "", "", errors.New("its certificate has more than one bellwire name")
			}
			found = s
		}
	}
	rest, ok := strings.CutPrefix(found, uriStart)
	if ok {
		cluster, name, ok = strings.Cut(rest, uriRole)
	}
	if !ok || checkName("cluster", cluster) != nil || checkName("gateway", name) != nil {
		return "", "", fmt.Errorf("its certificate is not that of a gateway: want the URI %sCLUSTER%sNAME, not %.200q", uriStart, uriRole, found)
	}
	return cluster, name, nil
}
