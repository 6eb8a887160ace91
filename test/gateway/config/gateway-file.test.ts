import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadGatewayFile } from '@penstock/gateway/config/gateway-file.ts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'penstock-config-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function load(http: string) {
  const path = join(folder, 'gateway.yaml')
  writeFileSync(
    path,
    `gateway: { hostId: penstock, groups: ["320706"] }\nbroker: { urls: ["mqtt://127.0.0.1:9"] }\nhttp: ${http}\n`,
  )
  return loadGatewayFile(path).http
}

describe('http.publicUrl', () => {
  it('is kept as an origin, null if not given', () => {
    expect(load('{}').publicUrl).toBeNull()
    expect(load('{ publicUrl: "https://Water.example:8443/" }').publicUrl).toBe('https://water.example:8443')
  })

  it.each(['https://water.example/penstock', 'https://water.example/?a=1', 'https://me@water.example', 'https://'])(
    '%s is refused with the place and an example',
    url => {
      expect(() => load(`{ publicUrl: "${url}" }`)).toThrow(
        /gateway\.yaml:3:\d+: .*write e\.g\. https:\/\/water\.example\.cn/,
      )
    },
  )
})
