package signature

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

// The material of RFC 9421, appendix B.
const (
	vectorRSA     = `{"kty":"RSA","e":"AQAB","n":"r4tmm3r20Wd_PbqvP1s2-QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct-Lh1GH45x28Rw3Ry53mm-oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHqgDsznjPFmTOtCEcN2Z1FpWgchwuYLPL-Wokqltd11nqqzi-bJ9cvSKADYdUAAN5WUtzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4aOT9v6d-nb4bnNkQVklLQ3fVAvJm-xdDOp9LCNCN48V2pnDOkFV6-U9nV5oyc6XI2w"}`
	vectorP256    = `{"kty":"EC","crv":"P-256","x":"qIVYZVLCrPZHGHjP17CTW0_-D9Lfw0EkjqF7xB4FivA","y":"Mc4nN9LTDOBhfoUeg8Ye9WedFRhnZXZJA12Qp0zZ6F0"}`
	vectorEd25519 = `{"kty":"OKP","crv":"Ed25519","x":"JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}`

	digest = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"
)

func vectorRequest() *model.Request {
	return &model.Request{Method: "POST", Scheme: "https", Host: "example.com", Target: "/foo?param=Value&Pet=dog", Body: true, Fields: []model.Field{
		{Name: "Date", Value: "Tue, 20 Apr 2021 02:07:55 GMT"}, {Name: "Content-Type", Value: "application/json"},
		{Name: "Content-Digest", Value: digest}, {Name: "Content-Length", Value: "18"}}}
}

var vectors = []struct{ name, key, algorithm, input, signature, base string }{
	{"B.2.1", vectorRSA, rsaPSS, `sig=();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"`,
		"d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q==",
		`"@signature-params": ();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"`},
	{"B.2.3", vectorRSA, rsaPSS, `sig=("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss"`,
		"bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==",
		`"date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@query": ?param=Value&Pet=dog
"@authority": example.com
"content-type": application/json
"content-digest": ` + digest + `
"content-length": 18
"@signature-params": ("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss"`},
	{"B.2.6", vectorEd25519, edwards, `sig=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`,
		"wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
		`"date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@authority": example.com
"content-type": application/json
"content-length": 18
"@signature-params": ("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`},
}

func TestTheVectorsOfRFC9421(t *testing.T) {
	for _, v := range vectors {
		list, err := readInputs(v.input)
		if err != nil || len(list) != 1 {
			t.Fatalf("%s: %v %d", v.name, err, len(list))
		}
		got, err := base(vectorRequest(), &list[0])
		if err != nil || got != v.base {
			t.Errorf("%s: %v, base\n%s\nwant\n%s", v.name, err, got, v.base)
		}
		pub, err := model.ParsePublicKey(v.key)
		if err != nil {
			t.Fatal(err)
		}
		if alg, ok := algorithm(pub, ""); !ok || alg != v.algorithm {
			t.Errorf("%s: algorithm %s", v.name, alg)
		}
		sig, err := base64.StdEncoding.DecodeString(v.signature)
		if err != nil {
			t.Fatal(err)
		}
		if !verify(pub, v.algorithm, v.base, sig) {
			t.Errorf("%s: the signature is not good", v.name)
		}
		for i := range sig {
			if i%17 == 0 {
				sig[i] ^= 1
				if verify(pub, v.algorithm, v.base, sig) {
					t.Errorf("%s: a changed signature is good", v.name)
				}
				sig[i] ^= 1
			}
		}
		if verify(pub, v.algorithm, strings.Replace(v.base, "1618884473", "1618884474", 1), sig) {
			t.Errorf("%s: a signature of another text is good", v.name)
		}
	}
}

// B.2.4 is of an answer, which no request can be: its text is verified as it stands.
func TestTheVectorOfRFC9421ForP256(t *testing.T) {
	text := `"@status": 200
"content-type": application/json
"content-digest": sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:
"content-length": 23
"@signature-params": ("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256"`
	pub, err := model.ParsePublicKey(vectorP256)
	if err != nil {
		t.Fatal(err)
	}
	sig, _ := base64.StdEncoding.DecodeString("wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==")
	if !verify(pub, ecdsaP256, text, sig) || verify(pub, ecdsaP256, text+" ", sig) || verify(pub, ecdsaP384, text, sig) {
		t.Error("not as the RFC says")
	}
}
