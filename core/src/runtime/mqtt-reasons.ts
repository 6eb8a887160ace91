/** CONNACK return codes of MQTT 3.1.1 (clause 3.2.2.3). */
const returnCodes: Readonly<Record<number, string>> = {
  1: 'it does not take this version of MQTT',
  2: 'it does not take this client id',
  3: 'it is not available now',
  4: 'wrong user name or password',
  5: 'not authorized',
}

/** Reason codes of MQTT 5 that a client may see (clause 2.4). */
const reasonCodes: Readonly<Record<number, string>> = {
  0: 'normal disconnection',
  128: 'unspecified error',
  129: 'malformed packet',
  130: 'protocol error',
  131: 'an error of its own',
  132: 'it does not take this version of MQTT',
  133: 'it does not take this client id',
  134: 'wrong user name or password',
  135: 'not authorized',
  136: 'it is not available now',
  137: 'it is busy',
  138: 'banned',
  139: 'it is shutting down',
  140: 'wrong authentication method',
  141: 'keep-alive time-out',
  142: 'another client with the same id took over the session',
  143: 'it does not take this filter',
  144: 'it does not take this topic',
  147: 'more messages than it takes at once',
  149: 'packet too large',
  150: 'message rate too high',
  151: 'quota exceeded',
  152: 'closed by its administrator',
  153: 'wrong payload format',
  154: 'it keeps no retained messages',
  155: 'it does not take this QoS',
  156: 'use another server',
  157: 'the server has moved',
  159: 'too many connections',
}

/** Codes that the user has to do something about, not time. */
const refusals: readonly number[] = [0x85, 0x86, 0x87, 0x8a, 0x8c]

export const isRefusal = (code: number, version: 4 | 5): boolean =>
  version === 4 ? code === 2 || code === 4 || code === 5 : refusals.includes(code)

/** What an error of the client or the broker means: the MQTT code, if it is one, and words for people. */
export function reasonOfMqtt(error: unknown, version: 4 | 5): { code: number | null; text: string } {
  if (typeof error !== 'object' || error === null) return { code: null, text: 'the connection was closed' }
  const code = 'code' in error ? error.code : undefined
  if (typeof code === 'number') {
    const known = (version === 4 ? returnCodes : reasonCodes)[code] ?? reasonCodes[code] ?? returnCodes[code]
    return { code, text: known ?? `reason code ${code}` }
  }
  const message = 'message' in error && typeof error.message === 'string' ? error.message : ''
  if (typeof code === 'string')
    return { code: null, text: message.includes(code) ? message : `${code} ${message}`.trim() }
  return { code: null, text: message || 'the connection was closed' }
}
