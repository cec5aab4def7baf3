import type { Failure } from '../../shared/errors.ts';
import { plain } from '../../shared/log-throttle.ts';
import type { Heartbeat } from '../../shared/protocol/messages/node.ts';
import type { NodeRecord } from '../../shared/protocol/node-registry.ts';
import { WIRE_VERSION } from '../../shared/protocol/topics.ts';
import { newestPlans, planState, refusalOf } from '../plan-state.ts';
import type { TopicGroup } from '../read-fleet.ts';
import { type Check, checksOf } from './check.ts';

/** What centrals and nodes announce at the broker. */
export interface NodesFacts {
  /** Topics that this connection may not read. */
  readonly hidden: readonly TopicGroup[];
  /** Whether an active central is online. */
  readonly central: boolean;
  /** Every central as it announces itself. */
  readonly centrals: readonly { readonly id: string; readonly state: string; readonly epoch?: number }[];
  /** Models with an active plan, and when the plan became active, Unix seconds by central's clock. */
  readonly plans: readonly { readonly model: string; readonly since: number }[];
  /** Models that central was to serve and cannot, and why. */
  readonly refused?: readonly { readonly model: string; readonly error: Omit<Failure, 'code'> }[];
  /** `heardAt` is Unix time in ms by this machine's clock. */
  readonly nodes: readonly NodeRecord[];
  /** Nodes that central gives no work, and why. */
  readonly leftOut?: ReadonlyMap<string, string>;
  /** Version of the doctor's own package. */
  readonly version: string;
  /** Unix seconds. */
  readonly now: number;
}

/** Clocks further apart than this make times of frames and results hard to compare, s. */
const SKEW_S = 2;
const HOT_C = 80;
const FULL_PERCENT = 92;
const BLOCKED_MS = 1000;
/** Bits of `throttled` that are on now; bits 16 to 19 say the same of the time since it was switched on. */
const THROTTLED = ['under-voltage', 'frequency capped', 'throttled', 'soft temperature limit'];

const { ok, warn, fail, skip } = checksOf('nodes');

/** Judges central and every node. */
export function judgeNodes(facts: NodesFacts): Check[] {
  const { nodes, hidden } = facts;
  const none = warn('nodes', 'no node is known: central computes everything itself', '`tessera agent` starts one');
  const seen = nodes.length === 0 ? [none] : nodes.map((node) => judgeNode(node, facts));
  const unseen = skip('nodes', 'this user may not read them; a viewer or an admin may');
  return [
    ...judgeCentral(facts),
    ...judgeModels(facts),
    ...(hidden.includes('nodes') ? [unseen] : [...seen, ...judgeVersions(facts)]),
  ];
}

function judgeCentral({ hidden, central, centrals, plans, now }: NodesFacts): Check[] {
  if (hidden.includes('status')) return [skip('central', 'this user may not read it')];
  const of = (state: string): string =>
    centrals
      .filter((one) => one.state === state)
      .map(({ id }) => id)
      .join(', ');
  if (!central)
    return [fail('central', 'no central is online, so frames are not processed', 'start `tessera central`')];
  if (hidden.includes('plans')) return [ok('central', `central ${of('active')} is online`)];
  if (plans.length === 0)
    return [warn('central', 'central is online and serves no model', 'see its log; `tessera model list` shows models')];
  const ahead = Math.max(...plans.map(({ since }) => since)) - now;
  const standby = of('standby') === '' ? '' : `; ${of('standby')} stands by`;
  const served = ok(
    'central',
    `central ${of('active')} is online and serves ${plans.map(({ model }) => model).join(', ')}${standby}`,
  );
  if (ahead < SKEW_S) return [served];
  const text = `central's clock is at least ${Math.round(ahead)} s ahead of this machine's`;
  return [served, warn('clocks', text, 'let both follow a time server (`timedatectl set-ntp true`)')];
}

/** Models that are not served. */
function judgeModels({ central, refused = [] }: NodesFacts): Check[] {
  if (!central) return [];
  return refused.map(({ model, error: { message, hint } }) =>
    fail(`model ${model}`, `central does not serve it: ${message}`, hint ?? 'fix it, then start central again'),
  );
}

/** The finding about a node that follows a central other than the active one; undefined for any other node. */
function deaf({ heartbeat }: NodeRecord, { centrals }: NodesFacts): string | undefined {
  const epochs = centrals.flatMap(({ state, epoch }) => (state === 'active' && epoch !== undefined ? [epoch] : []));
  const followed = heartbeat?.epoch ?? 0;
  // One that central has not spoken to yet follows an earlier one, or none.
  if (epochs.length === 0 || followed <= Math.max(...epochs)) return undefined;
  return `it follows epoch ${followed} and ignores the active central, whose epoch is ${Math.max(...epochs)}`;
}

function judgeNode(node: NodeRecord, facts: NodesFacts): Check {
  const { now } = facts;
  const name = `node ${node.id}`;
  const { info, heartbeat, heardAt } = node;
  if (!node.online)
    return warn(
      name,
      'it is offline',
      `start its agent, or \`tessera nodes forget ${node.id}\` if it will not come back`,
    );
  if (heartbeat === undefined)
    return fail(
      name,
      'its status is online, but no heartbeat arrived within 3 s',
      'its machine hangs or its link is down: check both; the broker notices within 15 s',
    );
  if (info !== undefined && (info.wire[0] > WIRE_VERSION || info.wire[1] < WIRE_VERSION))
    return fail(
      name,
      `it speaks wire versions ${info.wire.join(' to ')}, central speaks ${WIRE_VERSION}`,
      `install the version of central on it (it has ${plain(info.version)})`,
    );
  const wrong = facts.leftOut?.get(node.id);
  if (wrong !== undefined)
    return fail(
      name,
      `it gets no work: ${wrong}`,
      'check its memory and its version, then restart its agent; `tessera node revoke` removes a node that you do not trust',
    );
  const ignores = deaf(node, facts);
  if (ignores !== undefined)
    return fail(
      name,
      ignores,
      'another process published as central: check who may do so (docs/security.md); the node recovers by itself within a minute',
    );
  const plans = newestPlans(heartbeat);
  const refused = plans.filter(({ state }) => state === 'refused');
  if (refused.length > 0)
    return fail(name, `it ${refused.map(refusalOf).join('; it ')}`, 'fix what it reports, then restart its agent');
  const remarks = remarksOf(heartbeat, heardAt === undefined ? now : heardAt / 1000);
  if (remarks.length > 0)
    return warn(name, remarks.map(([what]) => what).join('; '), [...new Set(remarks.map(([, fix]) => fix))].join('; '));
  const free = Math.round(freeMb(node) ?? 0);
  const progress = plans.length === 0 ? '' : `; ${plans.map(planState).join(', ')}`;
  return ok(name, `${plain(info?.hardware ?? 'online')}, ${free} MB free, ${heartbeat.cpu_percent} % busy${progress}`);
}

function freeMb({ info, heartbeat }: NodeRecord): number | undefined {
  return info === undefined || heartbeat === undefined ? undefined : info.memory_mb - heartbeat.memory_used_mb;
}

/** Findings about a heartbeat, each with its fix. */
function remarksOf(heartbeat: Heartbeat, heardAt: number): [string, string][] {
  const remarks: [string, string][] = [];
  const bits = Number.parseInt(heartbeat.throttled, 16) || 0;
  const flags = (shift: number): string[] => THROTTLED.filter((_, bit) => (bits >> (bit + shift)) & 1);
  const power = 'a stronger power supply and a short cable end under-voltage; a heat sink or fan ends throttling';
  if (flags(0).length > 0) remarks.push([`${flags(0).join(', ')} now (${heartbeat.throttled})`, power]);
  else if (flags(16).length > 0) remarks.push([`${flags(16).join(', ')} since it was switched on`, power]);
  if ((heartbeat.temp_c ?? 0) > HOT_C) remarks.push([`${heartbeat.temp_c} degrees`, 'cool it']);
  if (heartbeat.memory_percent > FULL_PERCENT)
    remarks.push([
      `${heartbeat.memory_percent} % of its memory is used`,
      'lower node.memory_mb there, or end other programs',
    ]);
  if (heartbeat.loop_delay_ms > BLOCKED_MS)
    remarks.push([
      `it did not respond for ${heartbeat.loop_delay_ms} ms`,
      'it is overloaded or swaps: give it less work',
    ]);
  const skew = heartbeat.time === undefined ? 0 : heartbeat.time - heardAt;
  if (Math.abs(skew) > SKEW_S)
    remarks.push([
      `its clock is ${Math.abs(skew).toFixed(0)} s ${skew > 0 ? 'ahead of' : 'behind'} this machine's`,
      'let it follow a time server (`timedatectl set-ntp true`)',
    ]);
  return remarks;
}

function judgeVersions({ nodes, version }: NodesFacts): Check[] {
  const versions = new Map<string, string[]>([[version, ['this machine']]]);
  for (const { online, id, info } of nodes)
    if (online && info !== undefined)
      versions.set(plain(info.version), [...(versions.get(plain(info.version)) ?? []), id]);
  if (versions.size === 1) return [ok('versions', `all have version ${version}`)];
  const text = [...versions].map(([one, who]) => `${one} on ${who.join(', ')}`).join('; ');
  return [warn('versions', text, 'they work together while their wire versions overlap; bring them to one version')];
}
