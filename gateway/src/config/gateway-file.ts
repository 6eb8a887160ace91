import { Bytes, type ConfigSource, loadConfig } from '@penstock/core/runtime/config-file.ts'
import { BrokerPart, Id } from '@penstock/core/runtime/schema-parts.ts'
import { type Static, Type } from 'typebox'

const closed = { additionalProperties: false } as const

export const GatewayFileSchema = Type.Object(
  {
    gateway: Type.Object(
      {
        hostId: Id('Sparkplug host id, the same in every site file'),
        groups: Type.Array(Id('Sparkplug group'), { minItems: 1, description: 'groups that this gateway serves' }),
        data: Type.String({ default: 'data', description: 'folder of the stores, relative to this file' }),
        reorderMs: Type.Integer({
          minimum: 0,
          maximum: 60_000,
          default: 2000,
          description:
            'so long a message that is missing in the sequence of an edge may be late; then its births are asked for',
        }),
      },
      closed,
    ),
    broker: BrokerPart,
    http: Type.Object(
      {
        host: Type.String({ default: '127.0.0.1', description: 'address to listen on' }),
        port: Type.Integer({ minimum: 0, maximum: 65535, default: 8080 }),
        hostNames: Type.Array(Type.String(), {
          default: [],
          description: 'names under which browsers may call this gateway, beside the loopback names',
        }),
        publicUrl: Type.Union([Type.String({ pattern: '^https?://' }), Type.Null()], {
          default: null,
          description:
            'address at which people reach the console, e.g. https://water.example.cn: for links in messages, and a name of its own; null: the address that this gateway listens on',
        }),
        tls: Type.Union([Type.Object({ certFile: Type.String(), keyFile: Type.String() }, closed), Type.Null()], {
          default: null,
          description: 'certificate and key, PEM',
        }),
        behindProxy: Type.Union(
          [
            Type.Object({ address: Type.String({ description: 'address of the proxy that speaks TLS' }) }, closed),
            Type.Null(),
          ],
          { default: null, description: 'a reverse proxy in front speaks TLS' },
        ),
        apiTokenFile: Type.Union([Type.String(), Type.Null()], {
          default: null,
          description: 'a token for scripts is kept here (made with mode 0600 if missing)',
        }),
        printSignIn: Type.Boolean({
          default: false,
          description: 'demonstrations on loopback only: print a one-time sign-in address at start',
        }),
      },
      { ...closed, default: {} },
    ),
    registry: Type.String({
      default: 'registry.yaml',
      description: 'sites, edges and device names, relative to this file',
    }),
    rules: Type.Array(Type.String(), { default: [], description: 'alarm rule files, relative to this file' }),
    users: Type.String({ default: 'users.yaml', description: 'users and tokens, relative to this file' }),
    historian: Type.Object(
      {
        kind: Type.Literal('embedded', { default: 'embedded' }),
        rawDays: Type.Integer({ minimum: 1, default: 35, description: 'readings are kept this long' }),
        maxBytes: Bytes({ default: 20 * 2 ** 30, description: 'the historian takes no more than this' }),
      },
      { ...closed, default: {} },
    ),
    inbox: Type.Object(
      {
        segmentBytes: Bytes({ default: 16 * 2 ** 20, description: 'size of one segment file' }),
        maxBytes: Bytes({ default: 8 * 2 ** 30, description: 'the inbox takes no more than this' }),
        keepBytes: Bytes({
          default: 256 * 2 ** 20,
          description:
            'what has taken effect is kept up to this while there is room, to feed a new consumer or for support',
        }),
      },
      { ...closed, default: {} },
    ),
    webhooks: Type.Array(
      Type.Object(
        {
          id: Id('name of the receiver'),
          url: Type.String({ pattern: '^https?://', description: 'http:// or https:// address' }),
          secretFile: Type.String({ description: 'file with the key that signs the messages' }),
        },
        closed,
      ),
      { default: [], description: 'receivers of alarm messages' },
    ),
  },
  { ...closed, title: 'Penstock gateway file' },
)

/** A checked gateway file; all paths are absolute. */
export type GatewayFile = Static<typeof GatewayFileSchema>

const loopback = ['127.0.0.1', '::1', 'localhost']

/** Reads and checks a gateway file. @throws PenstockError `config-missing`, or `config-invalid` with all problems */
export function loadGatewayFile(path: string): GatewayFile {
  const { value, source } = loadConfig(path, GatewayFileSchema, { check: checkGateway })
  const absolute = (name: string) => source.resolve(name)
  const optional = (name: string | null) => (name === null ? null : source.resolve(name))
  const { tls } = value.http
  return {
    ...value,
    gateway: { ...value.gateway, data: absolute(value.gateway.data) },
    broker: {
      ...value.broker,
      passwordFile: optional(value.broker.passwordFile),
      caFile: optional(value.broker.caFile),
    },
    http: {
      ...value.http,
      publicUrl: value.http.publicUrl && new URL(value.http.publicUrl).origin,
      tls: tls && { certFile: absolute(tls.certFile), keyFile: absolute(tls.keyFile) },
      apiTokenFile: optional(value.http.apiTokenFile),
    },
    registry: absolute(value.registry),
    rules: value.rules.map(absolute),
    users: absolute(value.users),
    webhooks: value.webhooks.map(hook => ({ ...hook, secretFile: absolute(hook.secretFile) })),
  }
}

/** The console is at the root of its address. */
function isAddress(url: string): boolean {
  if (!URL.canParse(url)) return false
  const { pathname, search, hash, username } = new URL(url)
  return pathname === '/' && search === '' && hash === '' && username === ''
}

function checkGateway(file: GatewayFile, source: ConfigSource): void {
  const outside = !loopback.includes(file.http.host)
  if (outside && !file.http.tls && !file.http.behindProxy) {
    source.fail(
      ['http', 'host'],
      `${file.http.host} is reachable from outside; give "tls" (certFile, keyFile) or "behindProxy" (address), or listen on 127.0.0.1`,
    )
  }
  if (outside && file.http.printSignIn) {
    source.fail(['http', 'printSignIn'], 'a sign-in address may only be printed on loopback; remove it')
  }
  const { publicUrl } = file.http
  if (publicUrl !== null && !isAddress(publicUrl)) {
    source.fail(
      ['http', 'publicUrl'],
      `"${publicUrl}" is not an address of scheme, name and port alone; write e.g. https://water.example.cn`,
    )
  }
  const ids = file.webhooks.map(hook => hook.id)
  for (const [index, id] of ids.entries()) {
    if (ids.indexOf(id) !== index)
      source.fail(['webhooks', index, 'id'], `the webhook "${id}" stands twice; rename one`)
  }
}
