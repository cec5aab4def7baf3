import type { BusCounters } from '../../shared/ports.ts';
import type { BrokerStats } from '../../shared/protocol/messages/broker.ts';
import { OUTCOMES, SKIP_REASONS } from '../../shared/protocol/messages/result.ts';
import type { NodeRecord } from '../../shared/protocol/node-registry.ts';
import type { WireCounters } from '../../shared/runtime/wire.ts';
import { DISCARD_REASONS } from '../coordinator/effects.ts';
import type { Snapshot } from '../coordinator/snapshot.ts';
import type { CameraTotals } from '../observers/frame-totals.ts';
import { type ApiState, CENTRAL_PHASES, type CentralPhase } from './api.ts';

/** What metrics are made of. What only an active central has is undefined before. */
export interface MetricSources {
  readonly version: string;
  readonly phase: CentralPhase;
  readonly uptimeS: number;
  readonly brokerConnected: boolean;
  readonly nodes: ReadonlyMap<string, NodeRecord>;
  readonly bus: Readonly<BusCounters>;
  readonly wire: Readonly<WireCounters>;
  readonly broker: BrokerStats | null;
  readonly states: Pick<ApiState, 'models' | 'plans'>;
  readonly active: { readonly snapshot: Snapshot; readonly cameras: ReadonlyMap<string, CameraTotals> } | undefined;
}

/** A value with its labels, in the order of the family's. */
export type Sample = readonly [value: number, ...labels: string[]];

/** Metrics of one name. Names have the prefix `tessera_`; units are seconds, bytes, degrees Celsius and ratios. */
export interface MetricFamily {
  readonly name: string;
  readonly help: string;
  readonly kind: 'counter' | 'gauge';
  readonly labels: readonly string[];
  readonly samples: (sources: MetricSources) => readonly Sample[];
}

type Samples = MetricFamily['samples'];

const gauge = (name: string, help: string, labels: readonly string[], samples: Samples): MetricFamily => ({
  name,
  help,
  kind: 'gauge',
  labels,
  samples,
});
const counter = (name: string, help: string, labels: readonly string[], samples: Samples): MetricFamily => ({
  name: `${name}_total`,
  help,
  kind: 'counter',
  labels,
  samples,
});

/** Samples of what only an active central has. */
const whenActive =
  (samples: (active: NonNullable<MetricSources['active']>) => readonly Sample[]): Samples =>
  ({ active }) =>
    active === undefined ? [] : samples(active);

const byCamera = (samples: (counts: CameraTotals['counts'], camera: string) => readonly Sample[]): Samples =>
  whenActive(({ cameras }) => [...cameras].flatMap(([camera, { counts }]) => samples(counts, camera)));

type SeenNode = Snapshot['nodes'][string];

const bySeenNode = (value: (node: SeenNode) => number): Samples =>
  whenActive(({ snapshot }) => Object.entries(snapshot.nodes).map(([id, node]) => [value(node), id]));

/** Samples of nodes that are online, from their heartbeats. */
const byHeartbeat =
  (value: (beat: NonNullable<NodeRecord['heartbeat']>) => number | null): Samples =>
  ({ nodes }) =>
    [...nodes.values()].flatMap(({ id, online, heartbeat }): readonly Sample[] => {
      const said = online && heartbeat !== undefined ? value(heartbeat) : null;
      return said === null ? [] : [[said, id]];
    });

const ofBroker =
  (samples: (stats: BrokerStats) => readonly Sample[]): Samples =>
  ({ broker }) =>
    broker === null ? [] : samples(broker);

const entries = (counts: Readonly<Record<string, number>>): Sample[] =>
  Object.entries(counts).map(([key, value]) => [value, key]);

const percent = (value: number): number => value / 100;
const milliseconds = (value: number): number => value / 1000;

const CENTRAL: readonly MetricFamily[] = [
  gauge('info', 'Version of central.', ['version'], ({ version }) => [[1, version]]),
  gauge('central_phase', 'What central does: 1 for its phase.', ['phase'], ({ phase }) =>
    CENTRAL_PHASES.map((name) => [name === phase ? 1 : 0, name]),
  ),
  gauge('uptime_seconds', 'Time since the start of central.', [], ({ uptimeS }) => [[uptimeS]]),
  gauge('broker_connected', 'Whether central is connected to the broker.', [], ({ brokerConnected }) => [
    [brokerConnected ? 1 : 0],
  ]),
  counter('bus_connections', 'Connections of central to the broker.', [], ({ bus }) => [[bus.connections]]),
  counter('bus_messages_lost', 'Messages of central that the broker did not get.', ['reason'], ({ bus }) => [
    [bus.droppedOffline, 'offline'],
    [bus.rejected, 'rejected'],
  ]),
  counter('wire_messages', 'Messages between central and nodes.', ['direction'], ({ wire }) => [
    [wire.sent, 'sent'],
    [wire.received, 'received'],
  ]),
  counter('wire_bytes', 'Bytes of messages between central and nodes.', ['direction'], ({ wire }) => [
    [wire.sent_bytes, 'sent'],
    [wire.received_bytes, 'received'],
  ]),
  counter('wire_messages_unused', 'Messages of nodes that central could not use.', ['reason'], ({ wire }) => [
    [wire.invalid, 'invalid'],
    [wire.unhandled, 'unhandled'],
    [wire.dropped, 'dropped'],
  ]),
];

const FRAMES: readonly MetricFamily[] = [
  counter(
    'frames_received',
    'Frames of accepted cameras that were read.',
    ['camera'],
    byCamera((counts, camera) => [[counts.arrived, camera]]),
  ),
  counter(
    'frames',
    'Accepted frames that have ended, by outcome.',
    ['camera', 'outcome'],
    byCamera((counts, camera) => OUTCOMES.map((outcome) => [counts[outcome], camera, outcome])),
  ),
  counter(
    'frames_skipped',
    'Frames that were not accepted.',
    ['camera', 'reason'],
    byCamera((counts, camera) =>
      SKIP_REASONS.filter((reason) => counts[reason] > 0).map((reason) => [counts[reason], camera, reason]),
    ),
  ),
  counter(
    'frames_left_early',
    'Frames that ended at an early exit.',
    ['camera'],
    byCamera((counts, camera) => [[counts.left_early, camera]]),
  ),
  gauge(
    'frames_open',
    'Accepted frames that have not ended.',
    [],
    whenActive(({ snapshot }) => [[snapshot.open_frames]]),
  ),
  gauge(
    'frames_open_bytes',
    'Bytes of the tensors of frames that have not ended.',
    [],
    whenActive(({ snapshot }) => [[snapshot.open_bytes]]),
  ),
  gauge(
    'frames_waiting',
    'Frames that wait to be accepted.',
    ['camera'],
    whenActive(({ snapshot }) => Object.entries(snapshot.waiting).map(([camera, frames]) => [frames, camera])),
  ),
  gauge(
    'frames_waiting_bytes',
    'Bytes of frames that wait to be accepted or decoded.',
    [],
    whenActive(({ snapshot }) => [[snapshot.payload_bytes]]),
  ),
];

const MODELS: readonly MetricFamily[] = [
  gauge('model_served', 'Whether a model is served, or was refused.', ['model'], ({ states }) =>
    Object.entries(states.models).map(([model, { state }]) => [state === 'served' ? 1 : 0, model]),
  ),
  gauge('plan_predicted_latency_seconds', 'Latency that was predicted of the active plan.', ['model'], ({ states }) =>
    Object.entries(states.plans).flatMap(([model, plans]): readonly Sample[] => {
      const predicted = plans.at(-1)?.predicted;
      return predicted ? [[milliseconds(predicted.latency_ms), model]] : [];
    }),
  ),
  gauge('plan_since_timestamp_seconds', 'When the active plan began to serve.', ['model'], ({ states }) =>
    Object.entries(states.plans).flatMap(([model, plans]): readonly Sample[] => {
      const active = plans.at(-1);
      return active === undefined ? [] : [[active.since, model]];
    }),
  ),
];

const TILES: readonly MetricFamily[] = [
  counter(
    'tile_results_unused',
    'Results of tiles that were not used.',
    ['reason'],
    whenActive(({ snapshot }) => DISCARD_REASONS.map((reason) => [snapshot.discarded[reason], reason])),
  ),
  counter(
    'tile_requests_extra',
    'Requests for tiles beyond the first, and tiles that were filled with zeros.',
    ['kind'],
    whenActive(({ snapshot }) => entries(snapshot.extra)),
  ),
];

const NODES: readonly MetricFamily[] = [
  gauge(
    'node_up',
    'Presence of a node: 1 online, 0.5 silent, 0 offline.',
    ['node'],
    bySeenNode(({ presence }) => (presence === 'online' ? 1 : presence === 'suspect' ? 0.5 : 0)),
  ),
  gauge(
    'node_left_out',
    'Whether a node answered wrongly and gets no work.',
    ['node'],
    bySeenNode(({ left_out }) => (left_out ? 1 : 0)),
  ),
  gauge(
    'node_tiles_queued',
    'Tiles that wait at central to be sent to a node.',
    ['node'],
    bySeenNode(({ queued }) => queued),
  ),
  gauge(
    'node_tiles_unanswered',
    'Tiles that a node was sent and has not answered.',
    ['node'],
    bySeenNode(({ unanswered }) => unanswered),
  ),
  gauge(
    'node_owed_bytes',
    'Bytes of results that a node owes central.',
    ['node'],
    bySeenNode(({ owed_bytes }) => owed_bytes),
  ),
  counter(
    'node_tiles',
    'Tiles of a node whose results were used.',
    ['node'],
    bySeenNode(({ tiles }) => tiles),
  ),
  counter(
    'node_tiles_audited',
    'Tiles of a node that a second node computed too.',
    ['node'],
    bySeenNode(({ audited }) => audited),
  ),
  counter(
    'node_tiles_failed',
    'Tiles that a node answered with an error.',
    ['node'],
    bySeenNode(({ errors }) => errors),
  ),
  counter(
    'node_tiles_given_up',
    'Tiles that were given up because their node was silent.',
    ['node'],
    bySeenNode(({ given_up }) => given_up),
  ),
  counter(
    'node_hedges_won',
    'Tiles that a node answered before the one that was asked first.',
    ['node'],
    bySeenNode(({ hedges_won }) => hedges_won),
  ),
  counter(
    'node_results_unasked',
    'Messages with results that central did not request.',
    ['node'],
    bySeenNode(({ unasked }) => unasked),
  ),
  counter(
    'node_sent_bytes',
    'Encoded bytes of tensors that central sent to a node.',
    ['node'],
    bySeenNode(({ bytes_up }) => bytes_up),
  ),
  counter(
    'node_received_bytes',
    'Encoded bytes of tensors that central got from a node.',
    ['node'],
    bySeenNode(({ bytes_down }) => bytes_down),
  ),
  gauge(
    'node_cpu_usage_ratio',
    'Use of the processor.',
    ['node'],
    byHeartbeat(({ cpu_percent }) => percent(cpu_percent)),
  ),
  gauge(
    'node_memory_usage_ratio',
    'Use of the memory.',
    ['node'],
    byHeartbeat(({ memory_percent }) => percent(memory_percent)),
  ),
  gauge(
    'node_memory_used_bytes',
    'Memory in use.',
    ['node'],
    byHeartbeat(({ memory_used_mb }) => memory_used_mb * 1e6),
  ),
  gauge(
    'node_temperature_celsius',
    'Temperature of the processor.',
    ['node'],
    byHeartbeat(({ temp_c }) => temp_c),
  ),
  gauge(
    'node_throttled',
    'Whether the machine runs slower now, lest it get too hot or too little power.',
    ['node'],
    byHeartbeat(({ throttled }) => ((Number(throttled) & THROTTLED_NOW) !== 0 ? 1 : 0)),
  ),
  gauge(
    'node_queue_tiles',
    "Tiles in a node's own queue.",
    ['node'],
    byHeartbeat(({ queue }) => queue),
  ),
  gauge(
    'node_tiles_per_second',
    'Tiles that a node computed in its last second.',
    ['node'],
    byHeartbeat(({ tiles_per_s }) => tiles_per_s),
  ),
  gauge(
    'node_loop_delay_seconds',
    "Delay of the node's event loop.",
    ['node'],
    byHeartbeat(({ loop_delay_ms }) => milliseconds(loop_delay_ms)),
  ),
  gauge(
    'node_uptime_seconds',
    'Time since the start of the agent.',
    ['node'],
    byHeartbeat(({ uptime_sec }) => uptime_sec),
  ),
];

const BROKER: readonly MetricFamily[] = [
  gauge(
    'broker_uptime_seconds',
    'Time since the start of the built-in broker.',
    [],
    ofBroker(({ uptime_s }) => [[uptime_s]]),
  ),
  gauge(
    'broker_connections',
    'Open connections of the built-in broker.',
    [],
    ofBroker(({ connections }) => [[connections]]),
  ),
  counter(
    'broker_published_messages',
    'Messages that clients of the built-in broker published.',
    [],
    ofBroker(({ published }) => [[published]]),
  ),
  counter(
    'broker_not_retained_messages',
    'Messages that the built-in broker delivered and did not retain.',
    [],
    ofBroker(({ not_retained }) => [[not_retained]]),
  ),
  counter(
    'broker_refused',
    'What the built-in broker refused.',
    ['what'],
    ofBroker(({ refused }) => entries(refused)),
  ),
  counter(
    'broker_closed_connections',
    'Connections that the built-in broker closed.',
    ['reason'],
    ofBroker(({ closed }) => entries(closed)),
  ),
  counter(
    'broker_dropped_messages',
    'Messages that the built-in broker dropped.',
    ['reason'],
    ofBroker(({ dropped }) => entries(dropped)),
  ),
];

/** Bits of `throttled` in heartbeats: a lower clock rate, throttling and the soft temperature limit, now. */
const THROTTLED_NOW = 0b1110;

/** All metrics but the histogram of latencies. */
export const METRIC_FAMILIES: readonly MetricFamily[] = [
  ...CENTRAL,
  ...FRAMES,
  ...MODELS,
  ...TILES,
  ...NODES,
  ...BROKER,
];
