import type { Role } from '../broker/policy.ts';
import { type Parser, usage } from './options.ts';

/** A role and its holder's name. */
export interface RoleName {
  readonly role: Role;
  readonly name: string;
}

/** The roles again: help must not load the broker. */
export const ROLE_NAMES = ['central', 'node', 'camera', 'viewer', 'home', 'admin'] as const satisfies readonly Role[];

/** Reads `NAME` for a node, `central`, or `ROLE:NAME`; throws TESSERA_USAGE. */
export const roleName: Parser<RoleName> = (text, flag) => {
  const colon = text.indexOf(':');
  const said = colon < 0 ? (text === 'central' ? 'central' : 'node') : text.slice(0, colon);
  const role = ROLE_NAMES.find((known) => known === said);
  const name = text.slice(colon + 1);
  if (role !== undefined && name !== '') return { role, name };
  throw usage(flag, text, `a node's id, or ROLE:NAME with a role of ${ROLE_NAMES.join(', ')}`);
};
