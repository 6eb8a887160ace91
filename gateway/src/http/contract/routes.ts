import { type TSchema, Type } from 'typebox'
import type { Role } from '../../config/users-file.ts'
import * as alarms from './alarms.ts'
import * as places from './places.ts'
import * as session from './session.ts'
import * as status from './status.ts'
import * as tags from './tags.ts'

/** `public`: anybody who passes the host check; `metrics`: loopback, or a token of any role; else the least role. */
export type Access = 'public' | 'metrics' | Role

export interface RouteContract {
  readonly method: 'GET' | 'POST'
  readonly url: string
  readonly access: Access
  readonly summary: string
  /** media type of the successful answer; JSON if not given */
  readonly produces?: string
  readonly schema: {
    readonly params?: TSchema
    readonly querystring?: TSchema
    readonly body?: TSchema
    readonly response: Readonly<Record<number, TSchema>>
  }
}

const text = Type.String()
/** text that is sent piece by piece */
const stream = Type.Unknown()
const nothing = Type.Null()

/** Every route of the gateway. Roles, OpenAPI document and handlers all follow this table. */
export const routes = {
  live: {
    method: 'GET',
    url: '/health/live',
    access: 'public',
    summary: 'The process runs',
    schema: { response: { 200: status.Live } },
  },
  ready: {
    method: 'GET',
    url: '/health/ready',
    access: 'public',
    summary: 'The gateway takes in and stores readings; 503 with the reasons if not',
    schema: { response: { 200: status.Ready, 503: status.Ready } },
  },
  metrics: {
    method: 'GET',
    url: '/metrics',
    access: 'metrics',
    summary: 'Prometheus metrics; from the machine itself, or with a token',
    produces: 'text/plain',
    schema: { response: { 200: text } },
  },
  openSignIn: {
    method: 'GET',
    url: '/sign-in',
    access: 'public',
    summary: 'Signs in by the one-time address that the gateway printed; the address works once, for 10 minutes',
    schema: {
      querystring: Type.Object(
        { code: Type.String({ minLength: 1, maxLength: 128 }) },
        { additionalProperties: false },
      ),
      response: { 303: nothing },
    },
  },
  signIn: {
    method: 'POST',
    url: '/api/v1/sign-in',
    access: 'public',
    summary: 'Signs in with name and password; sets the session cookie',
    schema: { body: session.SignInBody, response: { 200: session.Me } },
  },
  signOut: {
    method: 'POST',
    url: '/api/v1/sign-out',
    access: 'viewer',
    summary: 'Ends the session',
    schema: { response: { 204: nothing } },
  },
  me: {
    method: 'GET',
    url: '/api/v1/me',
    access: 'viewer',
    summary: 'Who is signed in',
    schema: { response: { 200: session.Me } },
  },
  status: {
    method: 'GET',
    url: '/api/v1/status',
    access: 'viewer',
    summary: 'Version, storage, inbox, configuration in effect and what is wrong with the gateway',
    schema: { response: { 200: status.Status } },
  },
  sites: {
    method: 'GET',
    url: '/api/v1/sites',
    access: 'viewer',
    summary: 'Sites and their devices',
    schema: { response: { 200: places.SiteList } },
  },
  tags: {
    method: 'GET',
    url: '/api/v1/tags',
    access: 'viewer',
    summary: 'Live values',
    schema: { querystring: tags.TagQuery, response: { 200: tags.TagList } },
  },
  tag: {
    method: 'GET',
    url: '/api/v1/tags/:site/:device/:tag',
    access: 'viewer',
    summary: 'The live value of one tag',
    schema: { params: tags.TagParams, response: { 200: tags.Tag } },
  },
  device: {
    method: 'GET',
    url: '/api/v1/devices/:site/:device',
    access: 'viewer',
    summary: 'A device: its tags, its edge, and why it is bad',
    schema: { params: places.DeviceParams, response: { 200: places.Device } },
  },
  inhibit: {
    method: 'POST',
    url: '/api/v1/devices/:site/:device/inhibit',
    access: 'operator',
    summary: 'Inhibits the alarms of a device during calibration, at most as long as `inhibit.max` of the rules',
    schema: { params: places.DeviceParams, body: alarms.InhibitBody, response: { 200: alarms.CommandResult } },
  },
  endInhibit: {
    method: 'POST',
    url: '/api/v1/devices/:site/:device/end-inhibit',
    access: 'operator',
    summary: 'Ends an inhibit before its time',
    schema: { params: places.DeviceParams, body: alarms.EndInhibitBody, response: { 200: alarms.CommandResult } },
  },
  readings: {
    method: 'GET',
    url: '/api/v1/readings',
    access: 'viewer',
    summary: 'Stored readings of a tag',
    schema: { querystring: tags.ReadingQuery, response: { 200: tags.ReadingList } },
  },
  readingsCsv: {
    method: 'GET',
    url: '/api/v1/readings.csv',
    access: 'viewer',
    summary: 'Stored readings of a tag as CSV: time,value,quality,reason',
    produces: 'text/csv',
    schema: { querystring: tags.ReadingQuery, response: { 200: stream } },
  },
  trend: {
    method: 'GET',
    url: '/api/v1/trend',
    access: 'viewer',
    summary: 'Readings of a tag by minute (400 days) or hour (for ever)',
    schema: { querystring: tags.TrendQuery, response: { 200: tags.Trend } },
  },
  alarms: {
    method: 'GET',
    url: '/api/v1/alarms',
    access: 'viewer',
    summary: 'Alarms, the open ones unless asked otherwise',
    schema: { querystring: alarms.AlarmQuery, response: { 200: alarms.AlarmList } },
  },
  alarm: {
    method: 'GET',
    url: '/api/v1/alarms/:id',
    access: 'viewer',
    summary: 'One alarm, open or not; 404 if no rule makes it any more (the journal still has its records)',
    schema: { params: alarms.AlarmParams, response: { 200: alarms.Alarm } },
  },
  acknowledge: {
    method: 'POST',
    url: '/api/v1/alarms/:id/acknowledge',
    access: 'operator',
    summary: 'Acknowledges what the operator saw (occ, ann); 409 if the alarm has been announced anew since',
    schema: { params: alarms.AlarmParams, body: alarms.AcknowledgeBody, response: { 200: alarms.CommandResult } },
  },
  reset: {
    method: 'POST',
    url: '/api/v1/alarms/:id/reset',
    access: 'operator',
    summary: 'Resets a latched alarm that has returned to normal',
    schema: { params: alarms.AlarmParams, body: alarms.ResetBody, response: { 200: alarms.CommandResult } },
  },
  journal: {
    method: 'GET',
    url: '/api/v1/journal',
    access: 'viewer',
    summary: 'The alarm journal, newest first',
    schema: { querystring: alarms.JournalQuery, response: { 200: alarms.JournalList } },
  },
  edges: {
    method: 'GET',
    url: '/api/v1/edges',
    access: 'viewer',
    summary: 'Edges, also those that nobody registered',
    schema: { response: { 200: places.EdgeList } },
  },
  adopt: {
    method: 'POST',
    url: '/api/v1/edges/:group/:edge/adopt',
    access: 'engineer',
    summary: 'Takes an unknown edge, or a new box under a known name, into service',
    schema: { params: places.EdgeParams, body: places.AdoptBody, response: { 200: places.Edge } },
  },
  reload: {
    method: 'POST',
    url: '/api/v1/reload',
    access: 'engineer',
    summary: 'Reads registry, rules and users again; identical files do nothing, broken ones are refused',
    schema: { response: { 200: status.Reload } },
  },
  events: {
    method: 'GET',
    url: '/api/v1/events',
    access: 'viewer',
    summary: 'Server-sent events: hello, tags, alarms, edges, reload, resync',
    produces: 'text/event-stream',
    schema: { response: { 200: text } },
  },
  openApi: {
    method: 'GET',
    url: '/api/v1/openapi.json',
    access: 'public',
    summary: 'This document',
    schema: { response: { 200: Type.Unknown() } },
  },
} as const satisfies Record<string, RouteContract>

export type RouteName = keyof typeof routes
