// npm's oidc-provider for the tests: prints its issuer when it listens.
// Usage: node provider.mjs FOLDER/node_modules REDIRECT_ORIGIN [PORT]

import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';
import { webcrypto } from 'node:crypto';

const [modules, origin, port = '0'] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(`${modules}/oidc-provider/lib/index.js`));
const { exportJWK, generateKeyPair } = await import(
  pathToFileURL(`${modules}/jose/dist/node/esm/index.js`)
);

const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'];

async function newKey(algorithm) {
  const { privateKey } = await generateKeyPair(algorithm, { extractable: true });
  const name = Buffer.from(webcrypto.getRandomValues(new Uint8Array(8))).toString('hex');
  return { ...(await exportJWK(privateKey)), kid: name, alg: algorithm, use: 'sig' };
}

const server = createServer();
server.listen(Number(port), '127.0.0.1', async () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: ALGORITHMS.map((algorithm) => {
      const name = algorithm.toLowerCase();
      return {
        client_id: name,
        client_secret: `secret of ${name}: 100% & more`,
        redirect_uris: [`${origin}/.well-known/asgi-tunnel/access/oidc/callback/${name}`],
        id_token_signed_response_alg: algorithm,
        // Both ways to show a secret.
        token_endpoint_auth_method: name === 'es384' ? 'client_secret_post' : 'client_secret_basic',
      };
    }),
    jwks: { keys: await Promise.all(ALGORITHMS.map(newKey)) },
    enabledJWA: { idTokenSigningAlgValues: ALGORITHMS },
    scopes: ['openid', 'offline_access', 'groups'],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups'] },
    pkce: { required: () => true, methods: ['S256'] },
    cookies: { keys: ['only for tests'] },
    features: { devInteractions: { enabled: true } },
    async findAccount(context, id) {
      const verified = id !== 'mallory';
      return {
        accountId: id,
        claims: async () => ({
          sub: id,
          email: `${id}@example.org`,
          email_verified: verified,
          name: id,
          groups: [`${id}-group`],
        }),
      };
    },
  });
  server.on('request', provider.callback());
  console.log(issuer);
});
