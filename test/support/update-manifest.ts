import type { UpdateManifest } from '../../shared/protocol/messages/update.ts';

/** An announcement of version 0.2.0 to all nodes, of which none prepares it yet. */
export const announced: UpdateManifest = {
  v: 1,
  action: 'install',
  version: '0.2.0',
  releases: {},
  canary: 0,
  rollout: 100,
  paused: false,
  since: 7,
  prepare: [],
  turn: [],
};
