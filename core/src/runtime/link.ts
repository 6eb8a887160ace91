/**
 * One MQTT connection as the Sparkplug edge node and host see it. `mqtt-link.ts` implements it over MQTT.js,
 * test/support over an in-process network that loses, repeats and reorders.
 */
export interface Link {
  /** Resolves after SUBACK; rejects if the broker refuses one of the filters. */
  subscribe(filters: readonly string[], qos: 0 | 1): Promise<void>
  /** QoS 0: hands the packet to the socket and returns. QoS 1: queued by the client, `delivered` resolves with the PUBACK. */
  publish(topic: string, payload: Uint8Array, options: PublishOptions): void
  publishConfirmed(topic: string, payload: Uint8Array, options: { retain: boolean }): Promise<void>
  /** Bytes that wait in the socket; the sender pauses when they are many. */
  readonly queuedBytes: number
  /** Resolves when the connection has ended, with the reason in words. Never rejects. */
  readonly ended: Promise<string>
  /** DISCONNECT (MQTT 5: with will, when `withWill`) and close; idempotent. */
  close(options?: { withWill?: boolean }): Promise<void>
}

export interface PublishOptions {
  readonly qos: 0 | 1
  readonly retain: boolean
}

export interface LinkOptions {
  readonly clientId: string
  readonly will: { readonly topic: string; readonly payload: Uint8Array; readonly qos: 1; readonly retain: boolean }
  /** Called for every message, in order of arrival, from the moment of the connection. Must not throw. */
  readonly onMessage: (topic: string, payload: Uint8Array, flags: { retain: boolean }) => void
  readonly signal: AbortSignal
}

/** Connects once, always clean. @throws PenstockError `broker-unreachable` | `broker-refused` */
export type ConnectLink = (options: LinkOptions) => Promise<Link>
