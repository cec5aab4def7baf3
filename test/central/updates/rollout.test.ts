import { describe, expect, it } from 'vitest';
import { MOST_LOADING, rolloutStep, scopeOf, type UpdatingNode } from '../../../central/updates/rollout.ts';
import type { UpdateManifest, UpdateReport } from '../../../shared/protocol/messages/update.ts';
import { announced } from '../../support/update-manifest.ts';

const manifest = announced;
const SINCE = manifest.since;

const reportOf = (state: UpdateReport['state'], version = '0.1.0'): UpdateReport => ({
  v: 1,
  version,
  state,
  to: '0.2.0',
  since: SINCE,
});
const nodeOf = (id: string, report?: UpdateReport, more: Partial<UpdatingNode> = {}): UpdatingNode => ({
  id,
  online: true,
  isBack: true,
  report,
  ...more,
});

/** Nodes in the order of a rollout. */
const order = scopeOf(
  manifest,
  Array.from({ length: 8 }, (_, k) => nodeOf(`pi-${k}`, reportOf('idle'))),
).map(({ id }) => id);
const [first, second, third] = order as [string, string, string];
/** Eight nodes, some of them with other reports or presence. */
const fleet = (others: Readonly<Record<string, Partial<UpdatingNode>>> = {}): UpdatingNode[] =>
  order.map((id) => ({ ...nodeOf(id, reportOf('idle')), ...others[id] }));

describe('a rollout', () => {
  it('has a few nodes download at a time, and one node start it', () => {
    expect(rolloutStep(manifest, fleet())).toEqual({ prepare: order.slice(0, MOST_LOADING), turn: [] });
    const ready = { report: reportOf('ready') };
    const both = rolloutStep(manifest, fleet({ [first]: ready, [second]: ready }));
    expect(both.turn).toEqual([first]);
    expect(both.prepare).toHaveLength(2 + MOST_LOADING);
    // Whose turn it is keeps it.
    expect(rolloutStep({ ...manifest, turn: [second] }, fleet({ [first]: ready, [second]: ready })).turn).toEqual([
      second,
    ]);
  });

  it('goes on when the node that was away is back and has loaded its networks', () => {
    const ready = { report: reportOf('ready') };
    const turn = (node: Partial<UpdatingNode>) => rolloutStep(manifest, fleet({ [first]: node, [second]: ready })).turn;
    expect(turn({ report: reportOf('switching'), online: false })).toEqual([]);
    expect(turn({ report: reportOf('trial', '0.2.0'), online: false })).toEqual([]);
    expect(turn({ report: reportOf('trial', '0.2.0'), isBack: false })).toEqual([]);
    expect(turn({ report: reportOf('trial', '0.2.0') })).toEqual([second]);
  });

  it('begins with the canaries, and goes on when they have kept it or cannot have it', () => {
    const canary = { ...manifest, canary: 2 };
    const kept = { report: reportOf('idle', '0.2.0') };
    const ready = { report: reportOf('ready') };
    expect(rolloutStep(canary, fleet()).prepare).toEqual([first, second]);
    const trial = fleet({ [first]: kept, [second]: { report: reportOf('trial', '0.2.0') }, [third]: ready });
    expect(rolloutStep(canary, trial)).toEqual({ prepare: [], turn: [] });
    expect(rolloutStep(canary, fleet({ [first]: kept, [second]: kept, [third]: ready })).turn).toEqual([third]);
    const refused = { report: reportOf('refused') };
    expect(rolloutStep(canary, fleet({ [first]: kept, [second]: refused, [third]: ready })).turn).toEqual([third]);
  });

  it('halts when a node gave it up, and not for what was before', () => {
    const failed = { ...reportOf('failed'), text: 'it crashed' };
    expect(rolloutStep(manifest, fleet({ [second]: { report: failed } }))).toEqual({
      prepare: [],
      turn: [],
      halt: `${second} gave it up: it crashed`,
    });
    const earlier = { report: { ...failed, since: SINCE - 1 } };
    expect(rolloutStep(manifest, fleet({ [second]: earlier })).halt).toBeUndefined();
  });

  it('is for those that are named, and for a share that stays the same', () => {
    expect(scopeOf({ nodes: [third], rollout: 100 }, fleet()).map(({ id }) => id)).toEqual([third]);
    expect(scopeOf({ nodes: undefined, rollout: 25 }, fleet().reverse()).map(({ id }) => id)).toEqual([first, second]);
    expect(scopeOf(manifest, [nodeOf('a', undefined)])).toEqual([]);
    expect(rolloutStep({ ...manifest, paused: true }, fleet())).toEqual({ prepare: [], turn: [] });
  });

  it('goes back from the version that is to be left', () => {
    const back: UpdateManifest = { ...manifest, action: 'rollback' };
    const updated = { report: reportOf('ready', '0.2.0') };
    expect(rolloutStep(back, fleet({ [second]: updated })).turn).toEqual([second]);
    expect(rolloutStep(back, fleet()).turn).toEqual([]);
  });
});
