export { type DecodeLimits, decodeLimits, decodePayload } from './decode.ts'
export { encodePayload } from './encode.ts'
