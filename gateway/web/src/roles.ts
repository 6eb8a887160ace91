import type { Me } from './api/client.ts'

const roles: readonly Me['role'][] = ['viewer', 'operator', 'engineer', 'admin']

const atLeast = (me: Me, role: Me['role']): boolean => roles.indexOf(me.role) >= roles.indexOf(role)

/** Hides what the gateway would refuse; the gateway decides. */
export const mayCommand = (me: Me): boolean => atLeast(me, 'operator')
export const mayAdopt = (me: Me): boolean => atLeast(me, 'engineer')
