package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"time"

	"github.com/bellwire/bellwire/gateway/secure"
)

type certRevokeCmd struct {
	credentialFlags
	authorityFlags
	Certificates []string `arg:"" optional:"" name:"certificate" help:"Files of certificates, or serial numbers in hexadecimal digits; left out: only renew the list."`
	For          Lifetime `default:"365d" placeholder:"TIME" help:"When the list is due to be replaced; a gateway warns then, and goes by it all the same."`
}

// Run writes the list that follows the one that is there.
func (c *certRevokeCmd) Run(e *env) error {
	a, err := c.authority(&c.credentialFlags)
	if err != nil {
		return err
	}
	serials, err := c.serials(a)
	if err != nil {
		return err
	}
	path := c.path(crlFile)
	before, err := listBefore(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	list, err := a.Revoke(before, serials, secure.Period{From: time.Now(), For: time.Duration(c.For)})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if before == nil {
		err = writeNew(newFile{path, list, publicMode})
	} else {
		err = replaceFile(path, list)
	}
	if err != nil {
		return err
	}
	written, err := secure.ParseRevocationLists(list)
	if err != nil {
		return err
	}
	m := made{
		For:  fmt.Sprintf("list of %s revoked certificates", grouped(int64(len(written[0].RevokedCertificateEntries)))),
		File: path, Expires: written[0].NextUpdate,
	}
	return c.told(e, []made{m}, "Give it to all gateways as tls.crl, and send them SIGHUP.")
}

// listBefore is the list of a file; nil if there is no file.
func listBefore(path string) (*x509.RevocationList, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	content, err := readCredential(path)
	if err != nil {
		return nil, err
	}
	lists, err := secure.ParseRevocationLists(content)
	if err != nil {
		return nil, err
	}
	if len(lists) > 1 {
		return nil, errors.New("holds more than one list: want that of the CA alone")
	}
	return lists[0], nil
}

// serials are those of all that is named.
func (c *certRevokeCmd) serials(a *secure.Authority) ([]*big.Int, error) {
	var all []*big.Int
	for _, text := range c.Certificates {
		content, err := readCredential(text)
		if err != nil {
			serial, notSerial := secure.ParseSerial(text)
			if notSerial != nil {
				return nil, fmt.Errorf("%s %w, and is no serial number", text, err)
			}
			all = append(all, serial)
			continue
		}
		certificates, err := secure.ParseCertificates(content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
		for _, certificate := range certificates {
			if err := certificate.CheckSignatureFrom(a.Certificate()); err != nil || certificate.Equal(a.Certificate()) {
				return nil, fmt.Errorf("%s: was not issued by %s, which can revoke only what it has issued", text, c.CA)
			}
			all = append(all, certificate.SerialNumber)
		}
	}
	return all, nil
}
