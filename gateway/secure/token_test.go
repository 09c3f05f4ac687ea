package secure

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// seeded is a key that is the same in every run.
func seeded(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune('a'+n)), ed25519.SeedSize)))
}

func publicOf(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

func segment(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// signedText is a token of any header and payload with a good signature.
func signedText(key ed25519.PrivateKey, head, payload string) string {
	text := segment(head) + "." + segment(payload)
	return text + "." + segment(string(ed25519.Sign(key, []byte(text))))
}

const goodHead = `{"alg":"EdDSA","kid":"k1","typ":"JWT"}`

// inAnHour is the exp of most tokens here.
var inAnHour = today.Add(time.Hour).Unix()

func goodPayload(more string) string {
	return fmt.Sprintf(`{"sub":"acme/kitchen","exp":%d%s}`, inAnHour, more)
}

// tokenTrust believes key 1 as k1, 2 as k2 for beta only, and 3 without kid.
func tokenTrust(t *testing.T, change func(*Config)) *Trust {
	t.Helper()
	cfg := Config{Now: at(today), TokenKeys: []TokenKey{
		{ID: "k1", Key: publicOf(seeded(1))}, {ID: "k2", Key: publicOf(seeded(2)), Tenant: "beta"}, {Key: publicOf(seeded(3))},
	}}
	if change != nil {
		change(&cfg)
	}
	trust, err := NewTrust(cfg)
	require.NoError(t, err)
	return trust
}

func TestTokenProvesADevice(t *testing.T) {
	trust := tokenTrust(t, nil)
	p, err := trust.Token([]byte(signedText(seeded(1), goodHead, goodPayload(`,"jti":"t-1"`))))
	require.NoError(t, err)
	require.Equal(t, kitchen, p.Identity)
	require.Equal(t, inAnHour, p.Expires.Unix())
	require.False(t, p.Limited)
	require.Empty(t, p.Publish)
	require.Equal(t, "acme/kitchen by token t-1", p.String())
}

// TestTokenPermissions is BC-12's: what a token may, and no more.
func TestTokenPermissions(t *testing.T) {
	trust := tokenTrust(t, nil)
	for _, test := range []struct {
		claims             string
		limited            bool
		publish, subscribe []string
	}{
		{``, false, nil, nil},
		{`,"pub":[]`, true, nil, nil},
		{`,"sbs":[]`, true, nil, nil},
		{`,"pub":["broadcast/acme/#"]`, true, []string{"broadcast/acme/#"}, nil},
		{`,"pub":["a"],"sbs":["b/+","#"]`, true, []string{"a"}, []string{"b/+", "#"}},
		{`,"sbs":["b/{tenant}/x-{device}/{device}","{other}"]`, true, nil, []string{"b/acme/x-kitchen/kitchen", "{other}"}},
		{`,"PUB":["a"],"Sbs":["b"],"pubs":7`, false, nil, nil},
		{`,"aud":"bellwire","iss":"x","pub":["a"]`, true, []string{"a"}, nil},
		{`,"aud":["x","bellwire"]`, false, nil, nil},
	} {
		p, err := trust.Token([]byte(signedText(seeded(1), goodHead, goodPayload(test.claims))))
		require.NoError(t, err, test.claims)
		require.Equal(t, []any{test.limited, test.publish, test.subscribe}, []any{p.Limited, p.Publish, p.Subscribe}, test.claims)
	}
}

// TestForgedTokens is MS-17's for tokens: whatever is wrong with one, it proves
// nothing.
func TestForgedTokens(t *testing.T) {
	good := signedText(seeded(1), goodHead, goodPayload(""))
	parts := strings.Split(good, ".")
	public := publicOf(seeded(1))
	hs := func(secret []byte) string {
		text := segment(`{"alg":"HS256","kid":"k1"}`) + "." + segment(goodPayload(""))
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(text))
		return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	payload := func(text string) string { return signedText(seeded(1), goodHead, text) }
	head := func(text string) string { return signedText(seeded(1), text, goodPayload("")) }
	const unknown = "neither a token nor a key"

	for name, test := range map[string]struct {
		token string
		code  wire.Code
		text  string
	}{
		"nothing":                       {"", wire.CodeNotAuthenticated, "no token"},
		"garbage":                       {"\x00\xff garbage", wire.CodeNotAuthenticated, unknown},
		"dots":                          {"..", wire.CodeNotAuthenticated, "not a JWT"},
		"more dots":                     {good + ".x", wire.CodeNotAuthenticated, unknown},
		"two parts":                     {parts[0] + "." + parts[1], wire.CodeNotAuthenticated, unknown},
		"901 bytes":                     {good + strings.Repeat("A", wire.MaxAuth+1-len(good)), wire.CodeNotAuthenticated, "more than 900 bytes"},
		"900 bytes":                     {good + strings.Repeat("A", wire.MaxAuth-len(good)), wire.CodeNotAuthenticated, ""},
		"no signature":                  {parts[0] + "." + parts[1] + ".", wire.CodeNotAuthenticated, "bad signature"},
		"signature cut off":             {good[:len(good)-4], wire.CodeNotAuthenticated, "token: "},
		"signature of another token":    {parts[0] + "." + segment(goodPayload(`,"jti":"x"`)) + "." + parts[2], wire.CodeNotAuthenticated, "bad signature"},
		"signed by another key":         {signedText(seeded(2), goodHead, goodPayload("")), wire.CodeNotAuthenticated, "bad signature"},
		"padding":                       {good + "==", wire.CodeNotAuthenticated, "not a JWT"},
		"line end inside":               {parts[0] + "." + parts[1] + "\n." + parts[2], wire.CodeNotAuthenticated, "not a JWT"},
		"line end at the end":           {good + "\n", wire.CodeNotAuthenticated, "not a JWT"},
		"bits left over":                {good[:len(good)-1] + string(good[len(good)-1]+1), wire.CodeNotAuthenticated, "not a JWT"},
		"standard base64":               {strings.ReplaceAll(good, good[5:6], "+"), wire.CodeNotAuthenticated, "not a JWT"},
		"alg none":                      {segment(`{"alg":"none","kid":"k1"}`) + "." + segment(goodPayload("")) + ".", wire.CodeNotAuthenticated, "EdDSA"},
		"alg none, signed":              {head(`{"alg":"none","kid":"k1"}`), wire.CodeNotAuthenticated, "EdDSA"},
		"alg NoNe":                      {head(`{"alg":"NoNe","kid":"k1"}`), wire.CodeNotAuthenticated, "EdDSA"},
		"alg missing":                   {head(`{"kid":"k1"}`), wire.CodeNotAuthenticated, "EdDSA"},
		"alg null":                      {head(`{"alg":null,"kid":"k1"}`), wire.CodeNotAuthenticated, "EdDSA"},
		"alg in other letters":          {head(`{"alg":"EDDSA","kid":"k1"}`), wire.CodeNotAuthenticated, "EdDSA"},
		"alg by another name":           {head(`{"ALG":"EdDSA","kid":"k1"}`), wire.CodeNotAuthenticated, "EdDSA"},
		"alg twice":                     {head(`{"alg":"EdDSA","alg":"none","kid":"k1"}`), wire.CodeNotAuthenticated, "not a JWT"},
		"HS256 with the public key":     {hs(public), wire.CodeNotAuthenticated, "EdDSA"},
		"HS256 with the public PEM":     {hs(publicPEM(t, public)), wire.CodeNotAuthenticated, "EdDSA"},
		"RS256":                         {head(`{"alg":"RS256","kid":"k1"}`), wire.CodeNotAuthenticated, "EdDSA"},
		"ES256":                         {head(`{"alg":"ES256","kid":"k1"}`), wire.CodeNotAuthenticated, "EdDSA"},
		"wrong kid":                     {head(`{"alg":"EdDSA","kid":"k9"}`), wire.CodeNotAuthenticated, "not known here"},
		"kid of another key":            {head(`{"alg":"EdDSA","kid":"k2"}`), wire.CodeNotAuthenticated, "bad signature"},
		"no kid":                        {head(`{"alg":"EdDSA"}`), wire.CodeNotAuthenticated, "bad signature"},
		"empty kid":                     {signedText(seeded(3), `{"alg":"EdDSA","kid":""}`, goodPayload("")), wire.CodeNotAuthenticated, "kid"},
		"kid null":                      {signedText(seeded(3), `{"alg":"EdDSA","kid":null}`, goodPayload("")), wire.CodeNotAuthenticated, "kid"},
		"kid a path":                    {head(`{"alg":"EdDSA","kid":"../../dev/null"}`), wire.CodeNotAuthenticated, "not known here"},
		"kid a list":                    {head(`{"alg":"EdDSA","kid":["k1"]}`), wire.CodeNotAuthenticated, "kid"},
		"key in the header":             {signedText(seeded(9), `{"alg":"EdDSA","kid":"k9","jwk":{"kty":"OKP","crv":"Ed25519","x":"`+base64.RawURLEncoding.EncodeToString(publicOf(seeded(9)))+`"}}`, goodPayload("")), wire.CodeNotAuthenticated, "not known here"},
		"critical extension":            {head(`{"alg":"EdDSA","kid":"k1","crit":["b64"],"b64":false}`), wire.CodeNotAuthenticated, "crit"},
		"header a list":                 {head(`[]`), wire.CodeNotAuthenticated, "not a JWT"},
		"header with something after":   {head(goodHead + `{}`), wire.CodeNotAuthenticated, "not a JWT"},
		"payload a list":                {payload(`[]`), wire.CodeNotAuthenticated, "not a JSON object"},
		"payload null":                  {payload(`null`), wire.CodeNotAuthenticated, "not a JSON object"},
		"payload cut off":               {payload(`{"sub":"acme/kitchen"`), wire.CodeNotAuthenticated, "not a JWT"},
		"payload with something after":  {payload(goodPayload("") + `{}`), wire.CodeNotAuthenticated, "not a JWT"},
		"payload not UTF-8":             {payload(goodPayload(",\"x\":\"\xff\"")), wire.CodeNotAuthenticated, "not a JSON object"},
		"no exp":                        {payload(`{"sub":"acme/kitchen"}`), wire.CodeNotAuthenticated, "exp is missing"},
		"EXP":                           {payload(fmt.Sprintf(`{"sub":"acme/kitchen","EXP":%d}`, inAnHour)), wire.CodeNotAuthenticated, "exp is missing"},
		"exp null":                      {payload(`{"sub":"acme/kitchen","exp":null}`), wire.CodeNotAuthenticated, "exp is not a time"},
		"exp a fraction":                {payload(fmt.Sprintf(`{"sub":"acme/kitchen","exp":%d.5}`, inAnHour)), wire.CodeNotAuthenticated, "exp is not a time"},
		"exp with an exponent":          {payload(`{"sub":"acme/kitchen","exp":1e12}`), wire.CodeNotAuthenticated, "exp is not a time"},
		"exp a text":                    {payload(fmt.Sprintf(`{"sub":"acme/kitchen","exp":"%d"}`, inAnHour)), wire.CodeNotAuthenticated, "exp is not a time"},
		"exp negative":                  {payload(`{"sub":"acme/kitchen","exp":-1}`), wire.CodeNotAuthenticated, "exp is not a time"},
		"exp 0":                         {payload(`{"sub":"acme/kitchen","exp":0}`), wire.CodeNotAuthenticated, "exp is not a time"},
		"exp in the year 10000":         {payload(`{"sub":"acme/kitchen","exp":253402300800}`), wire.CodeNotAuthenticated, "exp is not a time"},
		"exp beyond 64 bits":            {payload(`{"sub":"acme/kitchen","exp":99999999999999999999}`), wire.CodeNotAuthenticated, "exp is not a time"},
		"exp huge":                      {payload(`{"sub":"acme/kitchen","exp":1` + strings.Repeat("0", 300) + `}`), wire.CodeNotAuthenticated, "exp is not a time"},
		"exp a list":                    {payload(fmt.Sprintf(`{"sub":"acme/kitchen","exp":[%d]}`, inAnHour)), wire.CodeNotAuthenticated, "exp is not a time"},
		"exp true":                      {payload(`{"sub":"acme/kitchen","exp":true}`), wire.CodeNotAuthenticated, "exp is not a time"},
		"exp twice":                     {payload(goodPayload(`,"exp":253402300799`)), wire.CodeNotAuthenticated, "a claim twice"},
		"exp twice, once escaped":       {payload(goodPayload(`,"\u0065xp":253402300799`)), wire.CodeNotAuthenticated, "a claim twice"},
		"sub twice":                     {payload(goodPayload(`,"sub":"beta/x"`)), wire.CodeNotAuthenticated, "a claim twice"},
		"a claim nobody knows twice":    {payload(goodPayload(`,"x":1,"x":1`)), wire.CodeNotAuthenticated, "a claim twice"},
		"expired":                       {payload(fmt.Sprintf(`{"sub":"acme/kitchen","exp":%d}`, today.Unix())), wire.CodeTokenExpired, "expired on 2026-06-15T12:00:00Z"},
		"expired long ago":              {payload(`{"sub":"acme/kitchen","exp":1}`), wire.CodeTokenExpired, "expired on 1970"},
		"expired, and badly signed":     {signedText(seeded(2), goodHead, `{"sub":"acme/kitchen","exp":1}`), wire.CodeNotAuthenticated, "bad signature"},
		"nbf in the future":             {payload(goodPayload(fmt.Sprintf(`,"nbf":%d`, today.Unix()+61))), wire.CodeNotAuthenticated, "not valid before 2026-06-15T12:01:01Z"},
		"nbf a text":                    {payload(goodPayload(`,"nbf":"1"`)), wire.CodeNotAuthenticated, "nbf is not a time"},
		"iat in the future":             {payload(goodPayload(fmt.Sprintf(`,"iat":%d`, today.Unix()+61))), wire.CodeNotAuthenticated, "issued in the future"},
		"iat a fraction":                {payload(goodPayload(`,"iat":1.5`)), wire.CodeNotAuthenticated, "iat is not a time"},
		"no sub":                        {payload(fmt.Sprintf(`{"exp":%d}`, inAnHour)), wire.CodeNotAuthenticated, "sub is not tenant/device"},
		"sub a number":                  {payload(fmt.Sprintf(`{"sub":7,"exp":%d}`, inAnHour)), wire.CodeNotAuthenticated, "sub is not a text"},
		"sub without tenant":            {payload(fmt.Sprintf(`{"sub":"kitchen","exp":%d}`, inAnHour)), wire.CodeNotAuthenticated, "sub is not tenant/device"},
		"sub with a NUL":                {payload(fmt.Sprintf(`{"sub":"acme/kitchen\u0000","exp":%d}`, inAnHour)), wire.CodeNotAuthenticated, "sub is not tenant/device"},
		"sub with a wildcard":           {payload(fmt.Sprintf(`{"sub":"acme/+","exp":%d}`, inAnHour)), wire.CodeNotAuthenticated, "sub is not tenant/device"},
		"sub of three":                  {payload(fmt.Sprintf(`{"sub":"acme/kitchen/x","exp":%d}`, inAnHour)), wire.CodeNotAuthenticated, "sub is not tenant/device"},
		"sub too long":                  {payload(fmt.Sprintf(`{"sub":"acme/%s","exp":%d}`, strings.Repeat("x", 129), inAnHour)), wire.CodeNotAuthenticated, "sub is not tenant/device"},
		"tenant of another key":         {signedText(seeded(2), `{"alg":"EdDSA","kid":"k2"}`, goodPayload("")), wire.CodeOtherTenant, "does not speak for tenant acme"},
		"jti a number":                  {payload(goodPayload(`,"jti":7`)), wire.CodeNotAuthenticated, "jti is not a text"},
		"pub a text":                    {payload(goodPayload(`,"pub":"a"`)), wire.CodeNotAuthenticated, "pub is not a list"},
		"pub null":                      {payload(goodPayload(`,"pub":null`)), wire.CodeNotAuthenticated, "pub is not a list"},
		"pub with null":                 {payload(goodPayload(`,"pub":["a",null]`)), wire.CodeNotAuthenticated, "pub is not a list"},
		"pub of numbers":                {payload(goodPayload(`,"pub":[1]`)), wire.CodeNotAuthenticated, "pub is not a list"},
		"pub a bad filter":              {payload(goodPayload(`,"pub":["a/#/b"]`)), wire.CodeNotAuthenticated, "pub: not a list of filters"},
		"pub an empty filter":           {payload(goodPayload(`,"pub":[""]`)), wire.CodeNotAuthenticated, "pub: not a list of filters"},
		"sbs of the gateway's own":      {payload(goodPayload(`,"sbs":["$sys/#"]`)), wire.CodeNotAuthenticated, "sbs: not a list of filters"},
		"sbs too long once filled in":   {payload(goodPayload(`,"sbs":["` + strings.Repeat("{device}", 40) + `"]`)), wire.CodeNotAuthenticated, "sbs: not a list of filters"},
		"sbs with a control character":  {payload(goodPayload(`,"sbs":["a\u0000"]`)), wire.CodeNotAuthenticated, "sbs: not a list of filters"},
		"for a person":                  {payload(goodPayload(`,"admin":"*"`)), wire.CodeNotAuthenticated, "for a person"},
		"admin empty":                   {payload(goodPayload(`,"admin":""`)), wire.CodeNotAuthenticated, "admin is empty"},
		"admin null":                    {payload(goodPayload(`,"admin":null`)), wire.CodeNotAuthenticated, "admin is not a text"},
		"admin false":                   {payload(goodPayload(`,"admin":false`)), wire.CodeNotAuthenticated, "admin is not a text"},
		"for somebody else":             {payload(goodPayload(`,"aud":"other"`)), wire.CodeNotAuthenticated, "aud"},
		"for some others":               {payload(goodPayload(`,"aud":["a","b"]`)), wire.CodeNotAuthenticated, "aud"},
		"for nobody":                    {payload(goodPayload(`,"aud":[]`)), wire.CodeNotAuthenticated, "aud"},
		"aud a number":                  {payload(goodPayload(`,"aud":1`)), wire.CodeNotAuthenticated, "aud"},
		"sub that quotes the log":       {payload(fmt.Sprintf(`{"sub":"x\nlevel=error","exp":%d}`, inAnHour)), wire.CodeNotAuthenticated, "sub is not"},
		"deeply nested":                 {payload(goodPayload(`,"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200))), wire.CodeOK, ""},
		"nbf within the leeway":         {payload(goodPayload(fmt.Sprintf(`,"nbf":%d,"iat":%d`, today.Unix()+60, today.Unix()+60))), wire.CodeOK, ""},
		"space around what is in it":    {payload(strings.ReplaceAll(strings.ReplaceAll(goodPayload(""), ":", " : "), ",", " ,\n")), wire.CodeOK, ""},
		"no kid, and a key without one": {signedText(seeded(3), `{"alg":"EdDSA"}`, goodPayload("")), wire.CodeOK, ""},
		"no typ":                        {head(`{"alg":"EdDSA","kid":"k1"}`), wire.CodeOK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := tokenTrust(t, nil).Token([]byte(test.token))
			if test.code == wire.CodeOK {
				require.NoError(t, err)
				require.Equal(t, kitchen, p.Identity)
				return
			}
			require.Nil(t, p)
			refused(t, err, test.code, test.text)
		})
	}
}

func publicPEM(t *testing.T, key ed25519.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	require.NoError(t, err)
	return encodePEM(pemPublicKey, der)
}

// TestEveryBitOfATokenCounts: none can be turned, none cut off or added.
func TestEveryBitOfATokenCounts(t *testing.T) {
	trust := tokenTrust(t, nil)
	good := []byte(signedText(seeded(1), goodHead, goodPayload(`,"pub":["a"]`)))
	for i := range good {
		for bit := range 8 {
			changed := append([]byte(nil), good...)
			changed[i] ^= 1 << bit
			_, err := trust.Token(changed)
			require.Error(t, err, "byte %d, bit %d", i, bit)
		}
		_, err := trust.Token(good[:i])
		require.Error(t, err, "the first %d bytes", i)
	}
}

func TestRevokedTokens(t *testing.T) {
	token := []byte(signedText(seeded(1), goodHead, goodPayload(`,"jti":"t-1"`)))
	old := []byte(signedText(seeded(1), goodHead, `{"sub":"acme/kitchen","exp":1,"jti":"t-1"}`))
	nameless := []byte(signedText(seeded(1), goodHead, goodPayload("")))
	byID := tokenTrust(t, func(c *Config) { c.Revoked.Tokens = []string{"t-1"} })
	_, err := byID.Token(token)
	refused(t, err, wire.CodeRevoked, "token revoked")
	_, err = byID.Token(old)
	refused(t, err, wire.CodeRevoked, "token revoked")
	_, err = byID.Token(nameless)
	require.NoError(t, err)
	_, err = tokenTrust(t, func(c *Config) { c.Revoked.Devices = []wire.Identity{kitchen} }).Token(nameless)
	refused(t, err, wire.CodeRevoked, "device revoked")
}

func TestAdmin(t *testing.T) {
	person := func(sub, more string) string { return fmt.Sprintf(`{"sub":%q,"exp":%d%s}`, sub, inAnHour, more) }
	k2 := `{"alg":"EdDSA","kid":"k2"}`
	for name, test := range map[string]struct {
		token  string
		tenant string
		code   wire.Code
		text   string
	}{
		"of all":                      {signedText(seeded(1), goodHead, person("anna", `,"admin":"*"`)), "", wire.CodeOK, ""},
		"of one":                      {signedText(seeded(1), goodHead, person("anna", `,"admin":"acme"`)), "acme", wire.CodeOK, ""},
		"of the key's tenant":         {signedText(seeded(2), k2, person("anna", `,"admin":"beta"`)), "beta", wire.CodeOK, ""},
		"of more than the key's":      {signedText(seeded(2), k2, person("anna", `,"admin":"*"`)), "", wire.CodeOtherTenant, "all that admin names"},
		"of another than the key's":   {signedText(seeded(2), k2, person("anna", `,"admin":"acme"`)), "", wire.CodeOtherTenant, "all that admin names"},
		"a device":                    {signedText(seeded(1), goodHead, goodPayload("")), "", wire.CodeNotAuthenticated, "admin is missing"},
		"a key":                       {"bwk_x", "", wire.CodeNotAuthenticated, "not a token"},
		"nothing":                     {"", "", wire.CodeNotAuthenticated, "no token"},
		"not a tenant":                {signedText(seeded(1), goodHead, person("anna", `,"admin":"a b"`)), "", wire.CodeNotAuthenticated, "nor a tenant"},
		"with filters":                {signedText(seeded(1), goodHead, person("anna", `,"admin":"*","pub":["a"]`)), "", wire.CodeNotAuthenticated, "pub and sbs"},
		"nameless":                    {signedText(seeded(1), goodHead, person("", `,"admin":"*"`)), "", wire.CodeNotAuthenticated, "name of a person"},
		"of a name that hides":        {signedText(seeded(1), goodHead, person("anna\u202e", `,"admin":"*"`)), "", wire.CodeNotAuthenticated, "name of a person"},
		"of a name of two lines":      {signedText(seeded(1), goodHead, person("anna\nx", `,"admin":"*"`)), "", wire.CodeNotAuthenticated, "name of a person"},
		"expired":                     {signedText(seeded(1), goodHead, `{"sub":"anna","exp":1,"admin":"*"}`), "", wire.CodeTokenExpired, "expired"},
		"badly signed":                {signedText(seeded(2), goodHead, person("anna", `,"admin":"*"`)), "", wire.CodeNotAuthenticated, "bad signature"},
		"of a name that is long":      {signedText(seeded(1), goodHead, person(strings.Repeat("x", 129), `,"admin":"*"`)), "", wire.CodeNotAuthenticated, "name of a person"},
		"of a name in other letters":  {signedText(seeded(1), goodHead, person("Åsa Ölund", `,"admin":"*"`)), "", wire.CodeOK, ""},
		"all, with an identity's sub": {signedText(seeded(1), goodHead, person("acme/kitchen", `,"admin":"*"`)), "", wire.CodeOK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := tokenTrust(t, nil).Admin([]byte(test.token))
			if test.code != wire.CodeOK {
				require.Zero(t, a)
				refused(t, err, test.code, test.text)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.tenant, a.Tenant)
			require.NotEmpty(t, a.Name)
			require.Equal(t, inAnHour, a.Expires.Unix())
		})
	}
}

// TestObjectIsWhatJSONSays beside the slow way: encoding/json into a map, for
// objects without repeated names.
func TestObjectIsWhatJSONSays(t *testing.T) {
	for _, text := range []string{`{}`, `{"a":1}`, ` { "a" : [1, {"b":2}] , "c":null } `, `{"a":{"a":1}}`, `{"":""}`, `{"a":1,"A":2}`} {
		fields, err := object([]byte(text))
		require.NoError(t, err, text)
		var want map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &want))
		got := map[string]any{}
		for name, raw := range fields {
			var value any
			require.NoError(t, json.Unmarshal(raw, &value))
			got[name] = value
		}
		require.Equal(t, want, got)
	}
	for _, text := range []string{``, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{a:1}`, `{"a":1}}`, `{"a":1} {}`, `"a"`, `1`, `{"a" 1}`, `{1:1}`, `{"a":1 "b":2}`} {
		_, err := object([]byte(text))
		require.Error(t, err, text)
	}
}
