import { Id, OneOf, Text } from '@penstock/core/runtime/schema-parts.ts'
import { type Static, type TSchema, Type } from 'typebox'
import { dayProfiles } from './plant/day-profile.ts'

const closed = { additionalProperties: false } as const

const OrNull = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()], { default: null })
const Positive = (description: string, extra: object = {}) =>
  Type.Number({ exclusiveMinimum: 0, description, ...extra })
const AtLeastZero = (description: string, extra: object = {}) => Type.Number({ minimum: 0, description, ...extra })
const Ms = (description: string, extra: object = {}) => Type.Integer({ minimum: 0, description, ...extra })
const Part = (description: string, extra: object = {}) => Type.Number({ minimum: 0, maximum: 1, description, ...extra })
const Hour = (description: string) => Type.Integer({ minimum: 0, maximum: 24, description })
const M3 = (description: string) => Type.String({ pattern: '^\\d+(\\.\\d{1,3})?$', description })

const Band = {
  startBelow: Part('level at which it starts, 0 to 1'),
  stopAbove: Part('level at which it stops, 0 to 1'),
}

const Pump = Type.Object(
  {
    ratedM3PerHour: Positive('flow at full speed, m³/h'),
    rampMs: Ms('time from rest to full speed', { default: 10_000 }),
    control: OrNull(
      Type.Object(
        {
          ...Band,
          night: OrNull(
            Type.Object(
              { ...Band, fromHour: Hour('hour, Asia/Shanghai'), toHour: Hour('hour, Asia/Shanghai') },
              closed,
            ),
          ),
        },
        { ...closed, description: 'start and stop by the level of the tank that it fills; null: runs always' },
      ),
    ),
  },
  { ...closed, description: 'the flow is made by a pump' },
)

const User = Type.Object(
  {
    annualM3: Positive('m³ in the calendar year'),
    profile: OneOf(dayProfiles, { description: 'how demand moves over year and day', default: 'flat' }),
  },
  { ...closed, description: 'the flow is what a user takes' },
)

const Tank = Type.Object(
  { id: Id('tank'), capacityM3: Positive('m³'), level: Part('level at the start, 0 to 1') },
  closed,
)

const Flow = Type.Object(
  {
    id: Id('flow'),
    from: OrNull(Id('tank that it is taken from; null: a river or well')),
    to: OrNull(Id('tank that it fills; null: a user')),
    noise: Part('standard deviation as a part of the flow', { default: 0.01 }),
    pump: OrNull(Pump),
    user: OrNull(User),
  },
  closed,
)

const Room = Type.Object(
  {
    id: Id('room'),
    gas: OneOf(['chlorine', 'ammonia'], { description: 'gas stored in it' }),
    volumeM3: Positive('m³'),
    storedKg: AtLeastZero('kg of the gas in its vessels'),
    airChangesPerHour: AtLeastZero('normal ventilation', { default: 8 }),
    emergencyAirChangesPerHour: AtLeastZero('with emergency fan and absorber', { default: 60 }),
    absorbed: Part('part that the absorber holds back', { default: 0.95 }),
    decayPerHour: AtLeastZero('deposition and reaction, per hour', { default: 0.5 }),
    fanRunOnMs: Ms('how long the emergency fan runs on', { default: 300_000 }),
  },
  closed,
)

const Place = Type.Object(
  {
    distanceM: AtLeastZero('metres from where gas can escape, or from the stack'),
    bearingDegrees: OrNull(
      Type.Number({ description: 'outside: degrees from the stack, clockwise from north; null: inside' }),
    ),
  },
  closed,
)

const Detector = Type.Object(
  {
    room: Id('room that it belongs to'),
    place: Place,
    rangePpm: Positive('end of the range'),
    lowPpm: Positive('own low alarm'),
    highPpm: Positive('own high alarm'),
    latching: Type.Boolean({ default: false, description: 'alarm bits stay until they are reset' }),
    t90Ms: Ms('time to 90 % of a step', { default: 20_000 }),
    noisePpm: AtLeastZero('standard deviation of the noise', { default: 0.003 }),
    stepPpm: Positive('smallest step that it shows', { default: 0.01 }),
    cellLifeHours: Type.Integer({ minimum: 0, maximum: 65535, default: 8760, description: 'cell life left' }),
  },
  { ...closed, description: 'midas: where it hangs and how it is set' },
)

const MeterPart = Type.Object(
  {
    flow: Id('flow that it measures'),
    startM3: M3('total at the start, or on January 1 with yearToDate; m³ with up to 3 decimals, in quotes'),
    yearToDate: OrNull(User),
    modulusM3: M3('total at which the register starts again from 0, m³'),
  },
  { ...closed, description: 'mfe600c and tuf2000: what it measures' },
)

const Device = Type.Object(
  {
    id: Id('device'),
    unitId: Type.Integer({ minimum: 1, maximum: 247, description: 'Modbus unit id' }),
    kind: OneOf(['mfe600c', 'tuf2000', 'midas', 'level-generic', 'signals'], { description: 'model' }),
    meter: OrNull(MeterPart),
    upperM3PerHour: Positive('mfe600c: upper limit of its own', { default: 10_000 }),
    lowerM3PerHour: AtLeastZero('mfe600c: lower limit of its own', { default: 0 }),
    multiplier: Type.Integer({ minimum: 0, maximum: 7, default: 3, description: 'tuf2000: total × 10^(n-3) m³' }),
    pipeDiameterMm: Positive('tuf2000: inner diameter', { default: 300 }),
    detector: OrNull(Detector),
    tank: OrNull(Id('level-generic: tank that it measures')),
    temperatureC: Type.Number({ default: 15, description: 'level-generic: mean temperature' }),
  },
  closed,
)

const Loggers = Type.Object(
  {
    readings: Type.Union([Type.Literal('environment'), Type.String({ minLength: 1 })], {
      description: 'CSV or CSV.gz with meter,time,total; "environment": --readings or PENSTOCK_REAL_METERS',
    }),
    firstUnitId: Type.Integer({ minimum: 1, maximum: 247, default: 1, description: 'unit id of the first meter' }),
    resolutionCode: Type.Union([Type.Literal(0), Type.Literal(3)], { default: 0, description: '0: 1 m³, 3: 0.001 m³' }),
  },
  { ...closed, description: 'one data logger for each meter of a file' },
)

const Ramps = Type.Object(
  {
    count: Type.Integer({ minimum: 1, maximum: 247, description: 'devices, with unit ids from 1' }),
    blocks: Type.Integer({ minimum: 1, maximum: 300, default: 1, description: 'blocks of registers of a device' }),
    valuesPerBlock: Type.Integer({ minimum: 1, maximum: 100, default: 10, description: 'f32 values of a block' }),
    changeMs: Type.Integer({ minimum: 1, default: 1000, description: 'time between changes of every value' }),
  },
  { ...closed, description: 'devices for load tests' },
)

export const SitePart = Type.Object(
  {
    id: Id('site'),
    name: Type.String({ default: '', description: 'shown in tables' }),
    unknownUnit: OneOf(['silent', 'exception'], { description: 'what an unknown unit id gets', default: 'silent' }),
    wind: Type.Object(
      {
        meanMetresPerSecond: Positive('mean speed, m/s', { default: 2.5 }),
        towardsDegrees: Type.Number({ default: 45, description: 'where it blows to, degrees from north' }),
      },
      { ...closed, default: {} },
    ),
    tanks: Type.Array(Tank, { default: [] }),
    flows: Type.Array(Flow, { default: [] }),
    rooms: Type.Array(Room, { default: [] }),
    devices: Type.Array(Device, { default: [] }),
    loggers: OrNull(Loggers),
    ramps: OrNull(Ramps),
  },
  closed,
)

export const CitySchema = Type.Object({ city: Id('city'), sites: Type.Array(SitePart, { minItems: 1 }) }, closed)

export const faultKinds = [
  'timeout',
  'reset',
  'late',
  'exception',
  'wrong-unit',
  'wrong-transaction',
  'garbage',
  'half-open',
  'truncated',
  'frozen',
  'nan',
  'drift',
] as const

export const FaultPart = Type.Object(
  {
    site: Id('site'),
    device: OrNull(Id('device; null: the line of the whole site')),
    kind: OneOf(faultKinds, { description: 'what goes wrong' }),
    delayMs: Ms('late: how late', { default: 1000 }),
    code: Type.Union(
      [Type.Literal(1), Type.Literal(2), Type.Literal(3), Type.Literal(4), Type.Literal(6), Type.Literal(11)],
      {
        default: 4,
        description: 'exception: its code',
      },
    ),
    perMinute: Type.Number({ default: 0, description: 'drift: what is added per minute, in the unit of the value' }),
  },
  { ...closed, description: 'a fault of the line or of an instrument' },
)

const actions = {
  leak: Type.Optional(
    Type.Object(
      { site: Id('site'), room: Id('room'), mgPerSecond: AtLeastZero('release rate') },
      { ...closed, description: 'gas escapes' },
    ),
  ),
  pump: Type.Optional(
    Type.Object(
      { site: Id('site'), flow: Id('flow'), mode: OneOf(['auto', 'on', 'off'], { description: 'operation' }) },
      { ...closed, description: 'a pump is taken from automatic' },
    ),
  ),
  demand: Type.Optional(
    Type.Object(
      { site: Id('site'), flow: Id('flow'), factor: AtLeastZero('what the flow is multiplied by') },
      { ...closed, description: 'a flow is made larger or smaller' },
    ),
  ),
  level: Type.Optional(
    Type.Object(
      { site: Id('site'), tank: Id('tank'), level: Part('0 to 1') },
      { ...closed, description: 'a tank is set' },
    ),
  ),
  device: Type.Optional(
    Type.Object(
      {
        site: Id('site'),
        device: Id('device'),
        setting: Type.String({ description: 'such as faultCode, inhibited, emptyPipe, sensorFault' }),
        value: Type.Union([Type.Number(), Type.Boolean(), Type.String()]),
      },
      { ...closed, description: 'an instrument is set' },
    ),
  ),
  total: Type.Optional(
    Type.Object(
      { site: Id('site'), device: Id('device'), m3: M3('new total, m³') },
      { ...closed, description: 'a meter is exchanged or set' },
    ),
  ),
  fault: Type.Optional(FaultPart),
}

/** The names of the actions; a step has exactly one. */
export const actionNames = Object.keys(actions) as (keyof typeof actions)[]

export const ActionPart = Type.Object(actions, closed)

const Step = Type.Object(
  { atMs: Ms('ms after the start'), forMs: OrNull(Ms('ms after which it ends; null: it stays')), ...actions },
  closed,
)

const Expectation = Type.Object(
  {
    tag: Type.String({ pattern: '^[^/]+/[^/]+/[^/]+$', description: 'site/device/tag' }),
    event: OneOf(['rises-above', 'falls-below', 'rolls-over', 'goes-silent', 'answers-again'], {
      description: 'what a reader must see',
    }),
    limit: OrNull(Type.Number({ description: 'for rises-above and falls-below' })),
    fromMs: Ms('not earlier than this after the start'),
    toMs: Ms('not later than this after the start'),
  },
  closed,
)

export const ScenarioSchema = Type.Object(
  {
    scenario: Id('scenario'),
    title: Text('what happens'),
    city: OrNull(
      Type.String({ minLength: 1, description: 'a city of the simulator, or a file; null: sites stand here' }),
    ),
    sites: Type.Array(SitePart, { default: [], description: 'sites beside those of the city' }),
    steps: Type.Array(Step, { default: [] }),
    expect: Type.Array(Expectation, { default: [] }),
  },
  closed,
)

export type Site = Static<typeof SitePart>
export type DeviceConfig = Site['devices'][number]
export type FlowConfig = Site['flows'][number]
export type Action = Static<typeof ActionPart>
export type Step = Static<typeof Step>
export type FaultSpec = Static<typeof FaultPart>
export type Expectation = Static<typeof Expectation>
export type Scenario = Static<typeof ScenarioSchema>
