import fc from 'fast-check';
import { parseListen } from '../../../broker/listen.ts';
import { mayPublish, maySubscribe } from '../../../broker/policy.ts';
import { parseShape } from '../../../cli/shape.ts';
import { makeJoinToken, readJoinToken } from '../../../shared/config/join.ts';
import { TesseraError } from '../../../shared/errors.ts';
import { isLoopback } from '../../../shared/loopback.ts';
import { parseLabels } from '../../../shared/model/labels.ts';
import { coversFilter, isFilter, matchesFilter } from '../../../shared/protocol/filter.ts';
import { parseInputTopic, parseNodeTopic, parseWireTopic } from '../../../shared/protocol/topics.ts';
import { parseGrid } from '../../../shared/tiling/grid.ts';
import { editedBytes, thenEdited } from '../edits.ts';
import { bytesOf, type FuzzTarget, must, same, textOf, type Verdict } from '../target.ts';
import { editedTree, jsonText } from '../trees.ts';

/** What a parser returns for a text, or 'refused' where it throws the right code. */
function read<T>(reader: () => T, codes: RegExp): T | 'refused' {
  try {
    return reader();
  } catch (error) {
    if (error instanceof TesseraError && codes.test(error.code)) return 'refused';
    throw error;
  }
}

/** Contents of invitations. */
const INVITATIONS: readonly Record<string, unknown>[] = [
  {
    server: 'mqtt://192.168.1.10:1883',
    user: 'pi-1',
    code: 'c'.repeat(43),
    expires: 1763650000,
    keys: [`ed25519:${'k'.repeat(43)}`],
  },
  {
    server: 'mqtts://broker.local:8883',
    user: 'pi-2',
    code: 'D_'.repeat(20),
    expires: 1763650000.5,
    base: 'home',
    ca: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
    keys: [`ed25519:${'a'.repeat(43)}`, `ed25519:${'b'.repeat(43)}`],
  },
];
const tokenOf = (json: string): Uint8Array => bytesOf(`tessera1.${Buffer.from(json).toString('base64url')}`);

/** Join tokens. */
export const token: FuzzTarget = {
  name: 'token',
  about: 'join tokens of any content: an invitation that makes the same token again, or a coded error',
  seeds: () => INVITATIONS.map((one) => tokenOf(JSON.stringify(one))),
  inputs(seeds) {
    const made = editedTree(INVITATIONS).map((tree) => tokenOf(jsonText(tree)));
    return fc.oneof(made, thenEdited(made, seeds), editedBytes(seeds, 4096));
  },
  open: () => ({
    judge(input) {
      const text = textOf(input);
      const invitation = read(() => readJoinToken(text), /^TESSERA_USAGE$/);
      if (invitation === 'refused') return 'refused';
      must(same(readJoinToken(makeJoinToken(invitation)), invitation), 'a token changes when it is made again');
      return 'accepted';
    },
  }),
};

const LEVELS = [
  'tessera',
  'tessera-wire',
  '1',
  'central',
  'pi-1',
  'input',
  'node',
  'work',
  'control',
  'status',
  '+',
  '#',
  '',
  '..',
  '$SYS',
  '$share',
  'ü',
  'a\u0000b',
  'x'.repeat(64),
  'x'.repeat(1000),
] as const;
const WIRE = 'tessera-wire/1/central/work/pi-1';
const level = fc.oneof(fc.constantFrom(...LEVELS), fc.string({ maxLength: 4 }));
const start = fc.constantFrom(['tessera', 'input'], ['tessera', 'node'], ['tessera-wire', '1', 'central', 'work'], []);
const levels = fc.tuple(start, fc.array(level, { minLength: 1, maxLength: 4 })).map((both) => both.flat());

/** Topics and filters; an input is two of them, one a line. */
export const topics: FuzzTarget = {
  name: 'topics',
  about: 'topics and filters with ids that are paths, wildcards and noise: no id passes that the rules do not allow',
  seeds: () => ['tessera/input/front/shot-7', 'tessera/node/pi-1/status'].map((one) => bytesOf(`${one}\n${WIRE}`)),
  inputs: () =>
    fc.tuple(levels, levels).map((two) => bytesOf(two.map((list) => list.join('/').replaceAll('\n', ' ')).join('\n'))),
  open: () => ({
    judge(input) {
      const [one = '', other = ''] = textOf(input).split('\n');
      let verdict: Verdict = 'refused';
      for (const topic of [one, other]) {
        const frame = parseInputTopic('tessera', topic);
        const node = parseNodeTopic('tessera', topic);
        const wire = parseWireTopic(topic);
        if (frame !== undefined) {
          const back = `tessera/input/${frame.camera}${frame.frame === null ? '' : `/${frame.frame}`}`;
          must(back === topic && /^[\w-]{1,64}$/.test(frame.camera), () => `the frame topic ${topic} is accepted`);
          must(
            frame.frame === null || /^[\w.:-]{1,128}$/.test(frame.frame),
            () => `the frame ${frame.frame} is accepted`,
          );
        }
        if (node !== undefined)
          must(/^[a-z0-9-]{1,63}$/.test(node.node) && topic === `tessera/node/${node.node}/${node.leaf}`, topic);
        if (wire !== undefined)
          must(
            /^[a-z0-9-]{1,63}$/.test(wire.from) && topic.endsWith(`-wire/1/${wire.to}/${wire.kind}/${wire.from}`),
            topic,
          );
        if (frame !== undefined || node !== undefined || wire !== undefined) verdict = 'accepted';
        const pi = { role: 'node', name: 'pi-1' } as const;
        if (mayPublish(pi, topic))
          must(
            wire?.from === 'pi-1' || `${topic}/`.startsWith('tessera/node/pi-1/'),
            () => `pi-1 may publish ${topic}`,
          );
        if (mayPublish({ role: 'camera', name: 'pi-1' }, topic))
          must(frame?.camera === 'pi-1', () => `the camera pi-1 may publish ${topic}`);
        must(!mayPublish({ role: 'viewer', name: 'me' }, topic), () => `a viewer may publish ${topic}`);
      }
      if (isFilter(one) && isFilter(other)) {
        const concrete = other.replaceAll('+', 'x').replace('#', 'y/z');
        if (coversFilter(one, other))
          must(matchesFilter(one, concrete), () => `${one} covers ${other}, not ${concrete}`);
        if (maySubscribe({ role: 'node', name: 'pi-1' }, other) && /-wire\//.test(other))
          must(!matchesFilter(other, 'tessera-wire/1/pi-2/work/central'), () => `pi-1 may read ${other}`);
      }
      return verdict;
    },
  }),
};

/** Words of the command line: grids, shapes, addresses, labels. */
export const words: FuzzTarget = {
  name: 'words',
  weight: 2,
  about: 'grids, shapes, addresses and label files of any content: values inside their bounds, or a coded error',
  seeds: () =>
    [
      '2x4',
      '7,7x4,4,3,3',
      '1x3x224x224',
      'mqtt://127.0.0.1:1883',
      'wss://[::1]:9443/',
      'cat\ndog\r\n\nbird',
      '0: cat',
    ].map(bytesOf),
  inputs: (seeds) => editedBytes(seeds, 2048),
  open: () => ({
    judge(input) {
      const text = textOf(input);
      let verdict: Verdict = 'refused';
      const grid = read(() => parseGrid(text), /^TESSERA_PLAN_INVALID$/);
      if (grid !== 'refused') {
        verdict = 'accepted';
        const sizes = [grid.rows, grid.cols, ...(grid.rowSizes ?? []), ...(grid.colSizes ?? [])];
        must(
          sizes.every((size) => Number.isInteger(size) && size > 0 && size < 1e6),
          () => `the grid ${text}`,
        );
      }
      const shape = read(() => parseShape(text, '--tensor'), /^TESSERA_USAGE$/);
      if (shape !== 'refused') {
        verdict = 'accepted';
        must(shape.length <= 8 && shape.every((size) => Number.isInteger(size) && size > 0), () => `the shape ${text}`);
      }
      const address = read(() => parseListen(text), /^TESSERA_CONFIG$/);
      if (address !== 'refused') {
        verdict = 'accepted';
        must(address.port >= 0 && address.port < 65_536 && address.host.length > 0, () => `the address ${text}`);
        if (isLoopback(address.host)) must(/^(localhost|::1|(::ffff:)?127\.)/.test(address.host), address.host);
      }
      for (const label of parseLabels(text)) must(!/[\r\n]/.test(label), 'a label of two lines');
      return verdict;
    },
  }),
};
