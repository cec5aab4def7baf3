import { describe, expect, it } from 'vitest';
import { MAX_BACKLOG_BYTES } from '../broker/bridge-out.ts';
import { defaultOptions } from '../central/coordinator/options.ts';
import { MAX_ENTITY_LABELS } from '../central/home-assistant/devices.ts';
import { MAX_LABELS, MAX_WAITING } from '../central/observers/objects.ts';
import { MOST_INPUT, MOST_TIME, MOST_WORK } from '../central/planner/cuts/worthwhile.ts';
import { MAX_DETECTIONS, MAX_TRACKS } from '../central/tracking/tracker.ts';
import { configSchema } from '../shared/config/schema.ts';
import { UNUSED_MS } from '../shared/node/region-index.ts';
import { MAX_PROFILE_BYTES, PROFILE_PART_BYTES } from '../shared/protocol/messages/requests.ts';
import { SKIP_REASONS } from '../shared/protocol/messages/result.ts';
import { PART_LIMIT_BYTES, REASSEMBLY_LIMITS } from '../shared/protocol/parts.ts';
import { UNUSED_BLOB_MS } from '../shared/runtime/blob-store.ts';
import { FRAME_LIMITS } from '../shared/runtime/image.ts';
import { repositoryFile } from './support/examples.ts';

/** docs/operations.md: limits that the program does not have, or reasons without an explanation, mislead operators. */

const text = repositoryFile('docs/operations.md');

/** The second cell of the table row that begins with these words. */
function cell(beginning: string): string {
  const row = text.split('\n').find((line) => line.startsWith(`| ${beginning}`));
  expect(row, beginning).toBeDefined();
  return row!.split(' | ')[1]!;
}

const mb = (bytes: number): string => `${bytes / 1e6} MB`;
const mib = (bytes: number): string => `${bytes / 2 ** 20} MiB`;

describe('the limits in docs/operations.md', () => {
  it("are the program's", () => {
    const { camera, ...central } = defaultOptions;
    const { mqtt, broker } = configSchema.parse({});
    const front = configSchema.parse({ cameras: { front: {} } }).cameras.front!;
    const { perSenderBytes, totalBytes, expiryMs } = REASSEMBLY_LIMITS;
    expect(cell('a packet that is sent')).toBe(mb(mqtt.maximum_packet_size));
    expect(cell('a body in one message')).toBe(`${PART_LIMIT_BYTES / 1024} KiB`);
    expect(cell('a profile that')).toBe(`${mb(MAX_PROFILE_BYTES)}; ${PROFILE_PART_BYTES / 1000} kB`);
    expect(cell('parts of bodies')).toBe(`${mib(perSenderBytes)}; ${mib(totalBytes)}; ${expiryMs / 1000} s`);
    expect(cell('a picture')).toContain(`${FRAME_LIMITS.maxPixels / 1e6} megapixels`);
    expect(cell('frames of a camera that wait')).toContain(`${camera.queue_max} (`);
    expect(cell('frames that wait')).toBe(mb(central.max_payload_bytes));
    expect(cell('frames under way')).toBe(
      `${central.max_open}; ${central.max_open_per_model}, and not more than its nodes can work at together and one; ` +
        mb(central.max_open_bytes),
    );
    expect(cell('tiles that the planner chooses by itself')).toContain(
      `${MOST_INPUT} times the input; ${MOST_WORK} times the work; ${100 * MOST_TIME} % of one node's`,
    );
    expect(cell('frames under way whose sections')).toBe(`${central.max_sectioned}`);
    expect(cell("a frame's time")).toContain(`${central.hard_limit_ms / 1000} s`);
    expect(cell("a stage's time")).toBe(`${front.deadline_ms} ms`);
    expect(cell('QoS 1 frames that the built-in broker keeps')).toBe(
      `${broker.keep_frames_s} s, ${broker.keep_frames_mb} MB and 10 000`,
    );
    expect(cell("how long a frame's id")).toContain(
      `${central.dedupe_ms / 1000} s; ${central.redelivery_ms / 60_000} min`,
    );
    expect(cell('work that a node was sent')).toContain(mb(central.window_bytes));
    expect(cell('results that a node owes')).toContain(`${mb(central.window_bytes)}; ${mb(central.owed_bytes)}; `);
    expect(cell('regions that other nodes are to send')).toBe(
      `${mb(central.window_bytes)}, or one; ${central.fetch_ms / 1000} s, then they are computed again`,
    );
    expect(cell('stored parts of models')).toContain(`for ${UNUSED_BLOB_MS / 86_400_000} days`);
    expect(cell('regions of tensors, of all models together, that a node keeps')).toContain(`; ${UNUSED_MS / 1000} s`);
    expect(cell('requests for one tile')).toBe(String(central.max_tries));
    expect(cell('a node that is silent')).toContain(`${(3.5 * central.heartbeat_ms) / 1000} s`);
    expect(cell('objects that are followed')).toBe(`${MAX_TRACKS}; the best ${MAX_DETECTIONS}; ${MAX_LABELS}`);
    expect(cell('labels of a camera and model with entities')).toContain(`${MAX_ENTITY_LABELS},`);
    expect(cell('bytes that a bridge keeps')).toContain(`${mib(MAX_BACKLOG_BYTES)},`);
    expect(cell('pictures of a camera that wait')).toContain(`${MAX_WAITING};`);
    expect(cell('a camera that is silent')).toContain(`${front.offline_after_s} s`);
  });

  it('and every reason to skip a frame is explained', () => {
    for (const reason of SKIP_REASONS) expect(text).toContain(`\n| \`${reason}\` |`);
  });
});
