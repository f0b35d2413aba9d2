// A real OpenID provider (the npm package oidc-provider) that issues JWT access
// tokens by client_credentials, and that a test can tell to rotate its keys.
//
//   node provider.mjs PORT CLAIMS [LOGIN]
//
// CLAIMS is JSON: for each client id the further claims of its tokens. A client's
// secret is its id and "-secret". POST /test/rotate makes a new signing key, and
// with ?drop publishes it alone; GET /test/fetches counts reads of the key set;
// POST /test/fail?status=N makes the key set answer with that status, 0 ends it.
// Tokens for a resource urn:opaque:AUDIENCE are opaque; GET /test/introspections
// counts the questions about them, which end when failing like the key set.
//
// LOGIN, JSON too, has people sign in by the code flow as well: {clients: [metadata
// of OpenID Connect registrations], accounts: {login: claims}, idTokenClaims: true,
// clientAuth: [ways that clients may prove themselves]}.
// The login form takes any password; scope groups gives the claim groups. Refresh
// tokens are given to every client that may have them, and replaced at each use.
// POST /test/account?login=L gives the account the claims of the body. Without
// idTokenClaims only UserInfo tells what scopes give.
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { Provider } from 'oidc-provider';
import { exportJWK, generateKeyPair } from 'jose';

const [port, claims] = [Number(process.argv[2]), JSON.parse(process.argv[3])];
const login = process.argv[4] ? JSON.parse(process.argv[4]) : undefined;
const issuer = `http://127.0.0.1:${port}`;
let keys = [];
let generation = 0;
let current;
let fetches = 0;
let failing = 0;
let introspections = 0;

// people is what lets them sign in.
function people(alg) {
  return {
    clients: login.clients.map((c) => ({
      grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], id_token_signed_response_alg: alg, ...c,
    })),
    settings: {
      claims: {
        openid: ['sub'], profile: ['preferred_username', 'name'], email: ['email', 'email_verified'], groups: ['groups'],
      },
      findAccount: (ctx, id) => (login.accounts[id] ? { accountId: id, claims: () => ({ sub: id, ...login.accounts[id] }) } : undefined),
      conformIdTokenClaims: !login.idTokenClaims,
      issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
      rotateRefreshToken: true,
      ...(login.clientAuth ? { clientAuthMethods: login.clientAuth } : {}),
      cookies: { keys: ['the same after a rotation'] },
      // Its guard against requests to loopback would keep logout tokens from the gateway.
      fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
    },
    features: { devInteractions: { enabled: true }, backchannelLogout: { enabled: true } },
  };
}

async function rotate(drop) {
  const alg = ['RS256', 'ES256', 'PS256', 'EdDSA'][generation % 4];
  const { privateKey } = await generateKeyPair(alg, { extractable: true, ...(alg === 'EdDSA' ? { crv: 'Ed25519' } : {}) });
  const jwk = { ...(await exportJWK(privateKey)), kid: `key-${generation}-${randomUUID()}`, alg, use: 'sig' };
  generation += 1;
  keys = drop ? [jwk] : [jwk, ...keys];
  const more = login ? people(alg) : { clients: [], settings: {}, features: {} };
  const provider = new Provider(issuer, {
    ...more.settings,
    jwks: { keys },
    clients: [...more.clients, ...Object.keys(claims).map((id) => ({
      client_id: id, client_secret: `${id}-secret`, grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
      id_token_signed_response_alg: alg,
    }))],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (ctx, resource) => ({
          scope: 'read write', audience: resource.replace(/^urn:(opaque:)?/, ''), accessTokenTTL: 600,
          ...(resource.startsWith('urn:opaque:') ? { accessTokenFormat: 'opaque' } : { accessTokenFormat: 'jwt', jwt: { sign: { alg } } }),
        }),
      },
      introspection: { enabled: true },
      revocation: { enabled: true },
      ...more.features,
    },
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'PS256', 'EdDSA'] },
    extraTokenClaims: (ctx, token) => claims[token.clientId],
  });
  current = provider.callback();
}

await rotate(true);
http.createServer(async (req, res) => {
  const url = new URL(req.url, issuer);
  switch (url.pathname) {
    case '/test/rotate':
      await rotate(url.searchParams.has('drop'));
      res.end(keys[0].kid);
      return;
    case '/test/fetches':
      res.end(String(fetches));
      return;
    case '/test/fail':
      failing = Number(url.searchParams.get('status'));
      res.end('');
      return;
    case '/test/account': {
      const body = [];
      for await (const part of req) body.push(part);
      login.accounts[url.searchParams.get('login')] = JSON.parse(Buffer.concat(body).toString());
      res.end('');
      return;
    }
    case '/test/introspections':
      res.end(String(introspections));
      return;
    case '/token/introspection':
      introspections += 1;
      if (failing) {
        res.statusCode = failing;
        res.end('<html>an error page</html>');
        return;
      }
      break;
    case '/jwks':
      fetches += 1;
      if (failing) {
        res.statusCode = failing;
        res.end('<html>an error page</html>');
        return;
      }
  }
  current(req, res);
}).listen(port, '127.0.0.1');
