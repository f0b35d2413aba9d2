// A real OpenID provider (the npm package oidc-provider) at which people sign in
// by a browser.
//
//   node login-provider.mjs PORT SETUP
//
// SETUP is JSON: gateway (host:port of the gateway, to which every back-channel call
// goes, whatever the name in its address), base (its externalURL), name (of the
// provider's resource there), people (by account, the claims), accessTTL (seconds)
// and lean (claims in UserInfo alone). The client is gw with gw-secret. There are no
// passwords: whoever names an account is it. What a test may ask of it by POST:
//
//   /test/claims?account=A   the body takes the claims' place
//   /test/rotate             a new signing key, published beside the old ones
//   /test/fail?status=N      every answer has that status; 0 ends it
//   /test/hang               nothing is answered any more; /test/fail?status=0 ends it
//   /test/end?account=A      back-channel logout of A's sessions
//   /test/revoke?account=A   A's refresh tokens are worth nothing any more
//   /test/last               the last logout token, code and tokens issued, as JSON
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import { exportJWK, generateKeyPair } from 'jose';
import { Provider } from 'oidc-provider';

const [port, setup] = [Number(process.argv[2]), JSON.parse(process.argv[3])];
const issuer = `http://127.0.0.1:${port}`;
const people = setup.people;
const sids = {};
const refreshTokens = {};
const last = { issued: [] };
let keys = [];
let current;
let provider;
let failing = 0;
let hanging = false;

// call reaches the gateway, whose name no resolver knows and whose certificate
// nobody signed.
function call(address, options) {
  const url = new URL(address);
  const [host, at] = setup.gateway.split(':');
  last.logoutToken = new URLSearchParams(options.body).get('logout_token');
  return new Promise((resolve, reject) => {
    const req = https.request({
      host, port: at, path: url.pathname, method: options.method, servername: url.hostname, rejectUnauthorized: false,
      headers: { ...Object.fromEntries(new Headers(options.headers)), host: url.host },
    }, (res) => {
      res.resume();
      last.logoutStatus = res.statusCode;
      res.on('end', () => resolve(new Response(null, { status: res.statusCode })));
    });
    req.on('error', reject);
    req.end(String(options.body));
  });
}

function page(title, body) {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title}</title></head><body><h1>${title}</h1>${body}</body></html>`;
}

async function rotate() {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  keys = [{ ...(await exportJWK(privateKey)), kid: `key-${randomUUID()}`, alg: 'RS256', use: 'sig' }, ...keys];
  provider = new Provider(issuer, {
    jwks: { keys },
    cookies: {
      keys: ['for the tests alone'],
      names: { session: `s${port}`, interaction: `i${port}`, resume: `r${port}` },
    },
    clients: [{
      client_id: 'gw', client_secret: 'gw-secret', grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'],
      redirect_uris: [`${setup.base}/.sallyport/callback`], post_logout_redirect_uris: [`${setup.base}/.sallyport/logout`],
      backchannel_logout_uri: `${setup.base}/.sallyport/backchannel-logout/${setup.name}`, backchannel_logout_session_required: true,
    }],
    claims: { openid: ['sub'], profile: ['preferred_username', 'name', 'department', 'level'], email: ['email', 'email_verified'], groups: ['groups', 'realm'] },
    scopes: ['openid', 'offline_access', 'profile', 'email', 'groups'],
    conformIdTokenClaims: Boolean(setup.lean),
    pkce: { required: () => true },
    rotateRefreshToken: true,
    issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
    ttl: { AccessToken: setup.accessTTL || 3600, IdToken: 3600, RefreshToken: 86400, Session: 86400, Interaction: 3600, Grant: 86400, AuthorizationCode: 60 },
    features: {
      devInteractions: { enabled: false },
      userinfo: { enabled: true },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: async (ctx, form) => {
          ctx.body = page('Sign out of the provider?', form.replace('</form>', '<button name="logout" value="yes">Yes</button></form>'));
        },
        postLogoutSuccessSource: async (ctx) => { ctx.body = page('Signed out of the provider', ''); },
      },
    },
    fetch: call,
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    findAccount: async (ctx, id) => (people[id] ? { accountId: id, claims: async () => ({ sub: id, ...people[id] }) } : undefined),
    loadExistingGrant: async (ctx) => {
      const known = ctx.oidc.session.grantIdFor(ctx.oidc.client.clientId);
      if (known) return ctx.oidc.provider.Grant.find(known);
      const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
      grant.addOIDCScope('openid offline_access profile email groups');
      await grant.save();
      return grant;
    },
  });
  provider.on('authorization.success', (ctx, answer) => {
    const id = ctx.oidc.session.accountId;
    (sids[id] ||= new Set()).add(ctx.oidc.session.sidFor('gw'));
    last.code = answer.code;
    last.issued.push(answer.code);
  });
  provider.on('grant.success', (ctx) => {
    const { access_token: access, refresh_token: refresh, id_token: id } = ctx.body;
    last.issued.push(access, refresh, id);
  });
  provider.on('refresh_token.saved', (token) => (refreshTokens[token.accountId] ||= []).push(token));
  provider.on('server_error', (ctx, err) => console.error(err));
  current = provider.callback();
}

function body(req) {
  return new Promise((resolve) => {
    let text = '';
    req.on('data', (b) => { text += b; });
    req.on('end', () => resolve(text));
  });
}

async function interact(req, res) {
  if (req.method === 'POST') {
    const form = new URLSearchParams(await body(req));
    const result = form.has('cancel') ? { error: 'access_denied', error_description: 'the person said <b>no</b>' } : { login: { accountId: form.get('account') } };
    await provider.interactionFinished(req, res, result, { mergeWithLastSubmission: false });
    return;
  }
  res.setHeader('Content-Type', 'text/html; charset=utf-8');
  res.end(page('Sign in at the provider', `<form method="post" action="${req.url}"><label>Account <input name="account" value=""></label><button>Sign in</button></form>
<form method="post" action="${req.url}"><input type="hidden" name="cancel" value="1"><button>Cancel</button></form>`));
}

async function told(url, req) {
  const account = url.searchParams.get('account');
  switch (url.pathname) {
    case '/test/claims':
      people[account] = JSON.parse(await body(req));
      return '';
    case '/test/rotate':
      await rotate();
      return keys[0].kid;
    case '/test/fail':
      [failing, hanging] = [Number(url.searchParams.get('status')), false];
      return '';
    case '/test/hang':
      hanging = true;
      return '';
    case '/test/end': {
      const client = await provider.Client.find('gw');
      for (const sid of sids[account] || []) await client.backchannelLogout(account, sid);
      sids[account] = new Set();
      return '';
    }
    case '/test/revoke':
      for (const t of refreshTokens[account] || []) await t.destroy();
      return '';
    case '/test/last':
      return JSON.stringify(last);
  }
  throw new Error(`there is no ${url.pathname}`);
}

await rotate();
http.createServer(async (req, res) => {
  const url = new URL(req.url, issuer);
  try {
    if (url.pathname.startsWith('/test/')) {
      res.end(await told(url, req));
    } else if (hanging) {
      return;
    } else if (failing) {
      res.statusCode = failing;
      res.end('<html>an error page</html>');
    } else if (url.pathname.startsWith('/interaction/')) {
      await interact(req, res);
    } else {
      current(req, res);
    }
  } catch (err) {
    console.error(err);
    res.statusCode = 500;
    res.end(String(err));
  }
}).listen(port, '127.0.0.1');
