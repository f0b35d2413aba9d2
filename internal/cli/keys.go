package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/sallyport/sallyport/internal/cli/client"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/model"
)

type keyCommands struct {
	List   keyList   `cmd:"" help:"List a user's API keys, without their secrets, and its public keys."`
	Get    keyGet    `cmd:"" help:"Show one key, without its secret."`
	Create keyCreate `cmd:"" help:"Make an API key and print it: this once."`
	Add    keyAdd    `cmd:"" help:"Give a user a public key of its own, by which it signs requests, and print the key's id for signatures."`
	Update keyUpdate `cmd:"" help:"Rotate an API key: make another like it, and delete the old one unless --keep."`
	Delete keyDelete `cmd:"" help:"Revoke keys at once."`
}

var keyColumns = []column{{"ID", "id"}, {"PREFIX", "prefix"}, {"CREATED", "createdAt"}, {"EXPIRES", "expiresAt"},
	{"LAST USED", "lastUsedAt"}, {"SCOPES", "scopes"}, {"ADDRESSES", "addresses"}, {"PUBLIC KEY", "keyID"}}

func credentials(user string, more ...string) string {
	return client.Path(append([]string{"v2", users.kind, user, "credentials"}, more...)...)
}

type keyList struct {
	User string `arg:"" help:"Whose."`
	paging
}

// Run lists keys.
func (c *keyList) Run(ctx context.Context, r *run) error {
	api, err := r.connect()
	if err != nil {
		return err
	}
	items, more, err := r.list(ctx, api, credentials(c.User), url.Values{}, c.paging)
	if err != nil {
		return err
	}
	keys := []json.RawMessage{}
	for _, raw := range items {
		var k struct {
			Type model.CredentialType `json:"type"`
		}
		if json.Unmarshal(raw, &k) == nil && (k.Type == model.APIKey || k.Type == model.PublicKey) {
			keys = append(keys, raw)
		}
	}
	return r.printList(keys, more, keyColumns)
}

type keyGet struct {
	User string `arg:"" help:"Whose."`
	ID   string `arg:"" help:"The key's id."`
}

// Run shows a key.
func (c *keyGet) Run(ctx context.Context, r *run) error {
	api, err := r.connect()
	if err != nil {
		return err
	}
	var o json.RawMessage
	if err := api.Do(ctx, client.Call{Method: "GET", Path: credentials(c.User, c.ID)}, &o); err != nil {
		return err
	}
	return r.print(o)
}

type keyFlags struct {
	Expires *string  `placeholder:"WHEN" help:"A time, a date, or a while from now: 90d."`
	Scope   []string `placeholder:"SCOPE" help:"Narrow it to roles, or to route:METHOD."`
	Address []string `placeholder:"CIDR" help:"Networks that it may be used from."`
	Reason  string   `placeholder:"TEXT" help:"Why, for the audit log."`
}

func (f *keyFlags) object() (object, error) {
	o := object{"type": model.APIKey}
	o.list("scopes", f.Scope)
	o.list("addresses", f.Address)
	if err := o.moment("expiresAt", f.Expires); err != nil {
		return nil, err
	}
	return o, nil
}

type keyCreate struct {
	User string `arg:"" help:"Whose."`
	keyFlags
}

// Run makes a key.
func (c *keyCreate) Run(ctx context.Context, r *run) error {
	o, err := c.object()
	if err != nil {
		return err
	}
	api, err := r.connect()
	if err != nil {
		return err
	}
	return r.makeKey(ctx, api, c.User, o, c.Reason)
}

// addKey gives a user a key. Where programs are to read the answer, it is printed
// whole, and there is no k to tell of.
func (r *run) addKey(ctx context.Context, api *client.Client, user string, o object, reason string) (k *model.Credential, err error) {
	var raw json.RawMessage
	if err := api.Do(ctx, client.Call{Method: "POST", Path: credentials(user), Body: o, Reason: reason}, &raw); err != nil {
		return nil, err
	}
	if r.format() != formatTable {
		return nil, r.print(raw)
	}
	err = json.Unmarshal(raw, &k)
	return k, err
}

// makeKey prints the new key for a pipe: the key alone on standard output, what
// is said of it beside.
func (r *run) makeKey(ctx context.Context, api *client.Client, user string, o object, reason string) error {
	k, err := r.addKey(ctx, api, user, o, reason)
	if k == nil || err != nil {
		return err
	}
	fmt.Fprintln(r.out, k.Secret)
	until := ""
	if k.ExpiresAt != nil {
		until = ", until " + k.ExpiresAt.UTC().Format(time.RFC3339)
	}
	fmt.Fprintf(r.err, "API key %s of %s%s. It is shown this once; keep it.\n", k.ID, printable(user), until)
	return nil
}

type keyAdd struct {
	User      string `arg:"" help:"Whose."`
	PublicKey string `arg:"" name:"file" placeholder:"FILE" help:"The public key: PEM or JWK. - is standard input."`
	keyFlags
}

// Run gives a user a public key. The name that signatures call it by stands alone
// on standard output.
func (c *keyAdd) Run(ctx context.Context, r *run) error {
	o, err := c.object()
	if err != nil {
		return err
	}
	var text []byte
	if c.PublicKey == config.Stdin {
		text, err = readAll(r.in)
	} else {
		text, err = os.ReadFile(c.PublicKey)
	}
	if err != nil {
		return err
	}
	// A private key is refused here, before it goes anywhere.
	if _, err := model.ParsePublicKey(string(text)); err != nil {
		return fmt.Errorf("%s %w", c.PublicKey, err)
	}
	o["type"], o["publicKey"] = model.PublicKey, string(text)
	api, err := r.connect()
	if err != nil {
		return err
	}
	k, err := r.addKey(ctx, api, c.User, o, c.Reason)
	if k == nil || err != nil {
		return err
	}
	fmt.Fprintln(r.out, k.KeyID)
	fmt.Fprintf(r.err, "Public key %s of %s. Signatures name it by the keyid above.\n", k.ID, printable(c.User))
	return nil
}

type keyUpdate struct {
	User string `arg:"" help:"Whose."`
	ID   string `arg:"" help:"The key's id."`
	Keep bool   `help:"Leave the old key in force, until you delete it."`
	keyFlags
}

// Run rotates a key.
func (c *keyUpdate) Run(ctx context.Context, r *run) error {
	o, err := c.object()
	if err != nil {
		return err
	}
	api, err := r.connect()
	if err != nil {
		return err
	}
	var old map[string]any
	if err := api.Do(ctx, client.Call{Method: "GET", Path: credentials(c.User, c.ID)}, &old); err != nil {
		return err
	}
	if old["type"] != string(model.APIKey) {
		return fmt.Errorf("%s is not an API key", c.ID)
	}
	for _, field := range []string{"scopes", "addresses", "expiresAt"} {
		if _, given := o[field]; !given && old[field] != nil {
			o[field] = old[field]
		}
	}
	if err := r.makeKey(ctx, api, c.User, o, c.Reason); err != nil {
		return err
	}
	if c.Keep {
		return nil
	}
	if err := api.Do(ctx, client.Call{Method: "DELETE", Path: credentials(c.User, c.ID), Reason: c.Reason}, nil); err != nil {
		return fmt.Errorf("the new key is made, but the old one, %s, is still in force: %w", c.ID, err)
	}
	fmt.Fprintf(r.err, "The old key, %s, is revoked.\n", printable(c.ID))
	return nil
}

type keyDelete struct {
	User   string   `arg:"" help:"Whose."`
	ID     []string `arg:"" help:"The keys' ids."`
	Reason string   `placeholder:"TEXT" help:"Why, for the audit log."`
}

// Run revokes keys.
func (c *keyDelete) Run(ctx context.Context, r *run) error {
	api, err := r.connect()
	if err != nil {
		return err
	}
	for _, id := range c.ID {
		call := client.Call{Method: "DELETE", Path: credentials(c.User, id), Reason: c.Reason}
		if err := r.write(ctx, api, call, false, fmt.Sprintf("key %s of %s revoked.", id, c.User)); err != nil {
			return err
		}
	}
	return nil
}
