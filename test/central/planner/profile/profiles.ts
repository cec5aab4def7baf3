import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseProfile } from '../../../../central/planner/profile/parse.ts';
import type { Profile } from '../../../../central/planner/profile/schema.ts';

/** Measured profiles lie outside of the repository. */
const folder = join(process.env.TESSERA_DATA ?? '../shared/data', 'profiles');

/** Why tests that read measured profiles cannot run; undefined if they can. */
export function whyNoProfiles(): string | undefined {
  return existsSync(folder) ? undefined : `${folder} is missing; TESSERA_DATA names the folder that holds profiles/`;
}

/** The JSON of a file among the measured profiles. */
export function measuredFile(name: string): unknown {
  return JSON.parse(readFileSync(join(folder, name), 'utf8'));
}

/** The networks and links of which there are measured profiles. */
export const MEASURED: readonly (readonly [network: string, link: string])[] = [
  'densenet121',
  'inception_v3',
  'mobilenet',
  'mobilenetv2',
  'nasnetmobile',
  'resnet50',
  'vgg16',
  'vgg19',
  'xception',
].flatMap((network) => [[network, '3g'] as const, [network, 'wired'] as const]);

/** A profile that Scission's authors measured. */
export function measuredProfile(network: string, link: string): Profile {
  return parseProfile(measuredFile(`scission-${network}-${link}.json`));
}

/** Three blocks on a camera's machine, a near and a far one, in the bare form. */
export function bareProfile(): Profile {
  return parseProfile({
    model: 'small',
    input_bytes: 1000,
    source: 'pi',
    blocks: [
      { name: 'a', output_bytes: 4000 },
      { name: 'b', output_bytes: 500 },
      { name: 'c', output_bytes: 10 },
    ],
    nodes: [
      { id: 'pi', tier: 'device', block_ms: [40, 80, 20] },
      { id: 'box', tier: 'edge', block_ms: [10, 20, 5] },
      { id: 'vm', tier: 'cloud', block_ms: [2, 4, 1] },
    ],
    links: [
      { from: 'pi', to: 'box', rtt_ms: 5, mbps: 8 },
      { from: 'pi', to: 'vm', rtt_ms: 50, mbps: 0.8 },
      { from: 'box', to: 'vm', rtt_ms: 20, mbps: 80 },
    ],
  });
}

/** Four layers with a skip from the first to the last, in two blocks, on one node with measured runs. */
export function skipProfile(): Profile {
  const layer = (name: string, inputs: string[], macs: number) => {
    return { name, op: 'Conv', macs, inputs, outputs: [{ name: `${name}-out`, bytes: 100 }] };
  };
  return parseProfile({
    format: 'tessera-profile/1',
    model: 'skip',
    sha256: 'a'.repeat(64),
    input_bytes: 300,
    source: 'central',
    broker: 'central',
    blocks: [
      { name: 'front', output_bytes: 200, cut: ['one-out', 'two-out'], layers: [0, 1] },
      { name: 'back', output_bytes: 100, cut: ['four-out'], layers: [2, 3] },
    ],
    layers: [
      layer('one', ['picture'], 30),
      layer('two', ['one-out'], 10),
      layer('three', ['two-out'], 0),
      layer('four', ['three-out', 'one-out'], 0),
    ],
    nodes: [
      {
        id: 'pi',
        tier: 'edge',
        memory_mb: 1000,
        block_ms: [8, 4],
        p10_ms: [7, 4],
        p90_ms: [9.563_103_131_09, 4],
        runs: [{ blocks: [0, 1], ms: 10 }],
        message_ms: 1,
        power_w: { idle: 2, busy: 6 },
      },
      { id: 'central', tier: 'cloud', block_ms: [2, 1], predicted: { error: 0.3 } },
    ],
    links: [
      { from: 'pi', to: 'central', rtt_ms: 2, mbps: 8 },
      { from: 'central', to: 'pi', rtt_ms: 2, mbps: 8 },
    ],
    correction: { ratio: 0.9, error: 0.05 },
  });
}
