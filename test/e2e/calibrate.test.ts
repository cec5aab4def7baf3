import { existsSync, readdirSync } from 'node:fs';
import { chmod, cp, lstat, mkdir, mkdtemp, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pictures } from '../../bench/testbed/deployment.ts';
import { runCli } from '../../bench/testbed/run-cli.ts';
import type { Measured } from '../../cli/calibrate/calibrate.ts';
import type { Calibration } from '../../cli/calibrate/report.ts';
import { parseCard } from '../../shared/model/card.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import { parseYaml } from '../../shared/runtime/yaml.ts';
import { tinyNetwork } from '../support/tiny-network.ts';

/**
 * A cluster must meet the bound that calibration found: the same pictures through real processes with the calibrated
 * codecs.
 */

const data = process.env.TESSERA_DATA ?? resolve('../shared/data');

let folder: string;
let scenes: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-calibrate-'));
  scenes = join(folder, 'scenes');
  await mkdir(scenes);
  for (const [index, picture] of (await pictures(24)).entries()) await writeFile(join(scenes, `${index}.jpg`), picture);
});
afterAll(() => rm(folder, { recursive: true }));

type Report = Calibration & { readonly chosen: (Measured & { readonly tensors: string[] }) | null };

async function calibrate(...args: string[]): Promise<{ report: Report; stderr: string }> {
  const { code, stdout, stderr } = await runCli(['model', 'calibrate', ...args, '--json']);
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
  return { report: JSON.parse(stdout), stderr };
}

async function infer(images: string, model: string, ...args: string[]): Promise<ResultObject[]> {
  const { code, stdout, stderr } = await runCli(['infer', images, '--model', model, '--nodes', '2', ...args, '--json']);
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

/** Share of pictures with the same best class. */
function agreement(a: readonly ResultObject[], b: readonly ResultObject[]): number {
  return a.filter((result, i) => result.predictions[0]?.label === b[i]!.predictions[0]?.label).length / a.length;
}

/** Bytes that messages add to the results of a picture: addresses, boxes, times. */
const AROUND_BYTES = 1500;

async function cardOf(model: string) {
  return parseCard(parseYaml(await readFile(join(model, 'model.yaml'), 'utf8'), 'card', 'TESSERA_MODEL_CARD'), 'card');
}

describe('the bundled network without its retrained tiles', () => {
  let model: string;
  let report: Report;
  let stderr: string;
  beforeAll(async () => {
    model = join(folder, 'plain');
    await cp('config/models/scenes', model, { recursive: true });
    const card = await readFile(join(model, 'model.yaml'), 'utf8');
    await writeFile(join(model, 'model.yaml'), card.replace(/^tiles:\n.*\n/m, ''));
    // As a user may have it: in another folder, writable by a group.
    await rename(join(model, 'model.yaml'), join(folder, 'kept.yaml'));
    await chmod(join(folder, 'kept.yaml'), 0o664);
    await symlink(join(folder, 'kept.yaml'), join(model, 'model.yaml'));
    await writeFile(join(scenes, 'broken.jpg'), 'no picture');
    const page = join(folder, 'report.html');
    const args = ['--model', model, '--images', scenes, '--agreement', '0.85', '--grid', '1x2'];
    ({ report, stderr } = await calibrate(...args, '--report', page, '--write'));
    await rm(join(scenes, 'broken.jpg'));
  });

  test('an unreadable picture is left out, the others count', () => {
    expect(report).toMatchObject({ measure: 'answers', pictures: 24, skipped: 1, bound: 0.85 });
    expect(stderr).toMatch(/warning: .*broken\.jpg is left out/);
  });

  test('with every bit the differences fall and the bytes rise', () => {
    const plain = report.cuts[0]!.settings.filter(({ rule }) => rule.beyond === 0 && rule.deadZone === 0);
    expect(plain.map(({ bits }) => bits)).toEqual([2, 3, 4, 5, 6, 7, 8]);
    const falls = (values: number[]) => values.every((value, i) => i === 0 || value < values[i - 1]!);
    expect(falls(plain.map(({ mean }) => mean))).toBe(true);
    expect(falls(plain.map(({ bytes }) => -bytes))).toBe(true);
  });

  test('model.yaml gets the settings that meet the bound, and keeps its comments', async () => {
    const { calibrated } = await cardOf(model);
    expect(calibrated.map(({ bytes }) => bytes)).toContain(report.chosen?.bytes);
    expect(await readFile(join(model, 'model.yaml'), 'utf8')).toMatch(/^# Knows the drawn objects/);
    expect((await lstat(join(model, 'model.yaml'))).isSymbolicLink()).toBe(true);
    expect((await stat(join(model, 'model.yaml'))).mode & 0o777).toBe(0o664);
    expect(await readFile(join(folder, 'report.html'), 'utf8')).toContain('</svg>');
  });

  test('where no setting meets the bound, model.yaml keeps those of a lower bound', async () => {
    const path = join(model, 'model.yaml');
    const before = await readFile(path, 'utf8');
    // Without a top prediction every difference counts, and 2 bits make some.
    const raw = before.replace('task: classify', 'task: raw').replace(/^(output:\n(?: .*\n)*|labels: .*\n)/gm, '');
    await writeFile(path, raw);
    const args = ['--images', scenes, '--limit', '2', '--agreement', '1', '--cut', 'pool1', '--bits', '2'];
    const { code, stderr: said } = await runCli(['model', 'calibrate', '--model', model, ...args, '--write']);
    expect(said).toContain('left as it was');
    expect(code).toBe(1);
    expect(await readFile(path, 'utf8')).toBe(raw);
    expect((await cardOf(model)).calibrated).not.toEqual([]);
    await writeFile(path, before);
  });

  test('a cluster with that bound sends as many bytes and makes the same predictions', async () => {
    const clipped = await infer(scenes, model, '--agreement', '0.85', '--grid', '1x2');
    const whole = await infer(scenes, model, '--strategy', 'single');
    expect(clipped.every(({ status, approximate }) => status === 'ok' && approximate)).toBe(true);
    expect(whole.some(({ approximate }) => approximate)).toBe(false);
    expect(agreement(clipped, whole)).toBeGreaterThanOrEqual(0.95);
    const bytes = clipped.reduce((sum, { bytes_down }) => sum + bytes_down, 0) / clipped.length;
    // A tile that was hedged may arrive twice.
    expect(bytes).toBeGreaterThan(0.99 * report.chosen!.bytes);
    expect(bytes).toBeLessThan(1.5 * report.chosen!.bytes + AROUND_BYTES);
  });

  test('verify proves the bound, and fails where it is missed', async () => {
    const args = ['--model', model, '--images', scenes, '--grid', '1x2', '--agreement', '0.85', '--json'];
    const { code, stdout, stderr } = await runCli(['verify', ...args]);
    const proved = JSON.parse(stdout);
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining('agreement of 85 %') });
    expect(proved).toMatchObject({ pass: true, pictures: 24, limits: { max_difference: null, min_agreement: 0.85 } });
    // Clipped results are not those of the whole network.
    expect(proved.outputs[0].largest).toBeGreaterThan(1e-4);
    expect((await runCli(['verify', ...args, '--max-difference', '0.0001'])).code).toBe(1);
    const retrained = await runCli(['verify', '--agreement', '0.95']);
    expect(retrained.stderr).toMatch(/TESSERA_USAGE: scenes was retrained[\s\S]*hint: omit --agreement/);
  });

  test('a cut that is named twice is measured once', async () => {
    const args = ['--images', scenes, '--limit', '2', '--bits', '2', '--cut', 'pool1', '--cut', 'pool1'];
    const twice = await calibrate('--model', model, ...args, '--agreement', '0.01');
    expect(twice.report.cuts).toHaveLength(1);
    expect(twice.stderr).toContain('a cut after pool1 is the same as one after pool1');
  });

  test('nothing is clipped without a requested bound that a setting meets', async () => {
    const picture = join(scenes, '0.jpg');
    expect((await infer(picture, model))[0]?.approximate).toBe(false);
    // A cut that was not calibrated.
    const [result] = await infer(picture, model, '--agreement', '0.5', '--cut', 'pool3');
    expect(result?.approximate).toBe(false);
  });
});

describe('the bundled network, retrained for its tiles', () => {
  test('equals the form that was trained, and is approximate in any other', async () => {
    // Pictures of two classes, as training takes them.
    const classes = join(folder, 'classes');
    for (const [index, name] of ['a', 'b'].entries()) {
      await mkdir(join(classes, name), { recursive: true });
      await cp(join(scenes, `${index}.jpg`), join(classes, name, '0.jpg'));
    }
    const own = await runCli(['verify', '--images', classes, '--json']);
    expect([own.code, own.stderr]).toEqual([0, expect.not.stringContaining('approximate')]);
    const proof = JSON.parse(own.stdout);
    expect(proof).toMatchObject({ pass: true, reference: 'trained', pictures: 2, agreed: 2 });
    expect(proof.outputs[0].largest).toBeLessThanOrEqual(1e-4);
    const halo = await runCli(['verify', '--images', classes, '--padding', 'halo', '--grid', '2x2', '--json']);
    expect([halo.code, halo.stderr]).toEqual([1, expect.stringContaining('not the form that was trained')]);
    expect(JSON.parse(halo.stdout)).toMatchObject({ pass: false, reference: 'trained' });
    expect((await infer(join(scenes, '0.jpg'), 'scenes', '--grid', '4x4'))[0]?.approximate).toBe(false);
    expect((await infer(join(scenes, '0.jpg'), 'scenes', '--strategy', 'single'))[0]?.approximate).toBe(true);
  });
});

const network = join(data, 'models', 'mobilenet_v2.onnx');
describe.skipIf(!existsSync(network))(`MobileNet v2 on ImageNet pictures (${network})`, () => {
  test('infer keeps what calibrate measured, picture by picture', async () => {
    const model = join(folder, 'mobilenet');
    const images = join(folder, 'imagenet');
    await mkdir(model);
    await mkdir(images);
    const card = await readFile('test/data/cards/mobilenet_v2.yaml', 'utf8');
    // A card may name files of its own folder only.
    await cp(network, join(model, 'mobilenet_v2.onnx'));
    const labels = join(data, 'images', 'imagenet', 'labels_1001.txt');
    await cp(labels, join(model, 'labels_1001.txt'));
    const own = card.replace(/^labels: .*$/m, 'labels: labels_1001.txt');
    await writeFile(join(model, 'model.yaml'), own);
    const all = readdirSync(join(data, 'images', 'imagenet')).filter((name) => name.endsWith('.JPEG'));
    for (const name of all.slice(0, 30)) await cp(join(data, 'images', 'imagenet', name), join(images, name));
    const args = ['--model', model, '--images', images, '--agreement', '0.75', '--cut', 'l058_add', '--bits', '3..5'];
    const { report } = await calibrate(...args, '--write');
    // 28 of 30 show 78.7 %, 27 only 74.4 %.
    expect(report.chosen?.shown).toBeGreaterThanOrEqual(0.75);
    expect(report.chosen?.agreement).toBeGreaterThanOrEqual(0.93);
    expect(report.chosen!.bytes).toBeLessThan(0.12 * report.cuts[0]!.raw_bytes);

    const clipped = await infer(images, model, '--agreement', '0.75', '--grid', '2x2');
    const whole = await infer(images, model, '--strategy', 'single');
    // The runtime rounds codes in float32, calibration in float64: one picture may differ.
    expect(Math.abs(agreement(clipped, whole) - report.chosen!.agreement)).toBeLessThan(1.01 / 30);
    const bytes = clipped.reduce((sum, { bytes_down }) => sum + bytes_down, 0) / clipped.length;
    expect(bytes).toBeLessThan(1.5 * report.chosen!.bytes + AROUND_BYTES);
  });
});

describe('what cannot be calibrated', () => {
  const refused = async (...args: string[]) => {
    const { code, stderr } = await runCli(['model', 'calibrate', ...args]);
    expect(code).not.toBe(0);
    return stderr;
  };

  test('a folder without pictures, or with none that can be read', async () => {
    const empty = join(folder, 'empty');
    await mkdir(empty);
    expect(await refused('--images', empty)).toMatch(/TESSERA_USAGE: no JPEG or PNG file[\s\S]*hint: /);
    await writeFile(join(empty, 'a.png'), 'text');
    expect(await refused('--images', empty)).toMatch(/none of 1 picture in [\s\S]*hint: /);
    expect(await refused()).toMatch(/TESSERA_USAGE[\s\S]*--images DIR/);
  });

  test('a network that takes no pictures: the hint says what to do', async () => {
    const model = join(folder, 'tensors');
    await mkdir(model);
    const onnx = tinyNetwork();
    const inputs = onnx.graph.inputs.map((input) => ({ ...input, shape: [1, 3, 16, 16] }));
    await writeFile(join(model, 'model.onnx'), writeModel({ ...onnx, graph: { ...onnx.graph, inputs } }));
    await writeFile(join(model, 'model.yaml'), 'name: tensors\ntask: raw\ninput: {layout: nhwc}\n');
    expect(await refused('--model', model, '--images', scenes)).toMatch(
      /only networks that take pictures[\s\S]*hint: .*model\.yaml[\s\S]*--codec/,
    );
  });

  test('writing without a model.yaml, or into the bundled one, fails before measuring', async () => {
    const bare = join(folder, 'bare.onnx');
    await writeFile(bare, writeModel(tinyNetwork()));
    expect(await refused('--model', bare, '--images', scenes, '--write')).toContain('main.js model add');
    expect(await refused('--images', scenes, '--write')).toContain('belongs to Tessera itself');
    const linked = join(folder, 'linked');
    await symlink(resolve('config/models/scenes'), linked);
    expect(await refused('--model', linked, '--images', scenes, '--write')).toContain('belongs to Tessera itself');
  });

  test('a bound that so few pictures cannot show, before anything is measured', async () => {
    expect(await refused('--images', scenes, '--agreement', '0.99')).toMatch(
      /TESSERA_USAGE: --agreement 0\.99: 24 pictures cannot show that[\s\S]*hint: use at least 381 pictures/,
    );
  });

  test('an unknown tensor, invalid bits, an unsupported report format', async () => {
    expect(await refused('--images', scenes, '--cut', 'nope')).toMatch(/TESSERA_PLAN_INVALID: .*"nope"[\s\S]*hint: /);
    expect(await refused('--images', scenes, '--bits', '1..9')).toMatch(/TESSERA_USAGE: --bits/);
    expect(await refused('--images', scenes, '--report', 'none/x.svg')).toMatch(/TESSERA_USAGE: --report/);
    expect(await refused('--images', scenes, '--report', 'x.pdf')).toMatch(/TESSERA_USAGE: --report/);
  });
});
