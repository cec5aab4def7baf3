import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';

/**
 * Plans of every form on real networks, brokers and processes. If these fail, a plan that a strategy proposes, or that a
 * user wrote, gives wrong answers.
 */

const data = process.env.TESSERA_DATA ?? resolve('../shared/data');
const models = join(data, 'models');

describe.each(['embedded', 'mosquitto'])('plans of every form (%s)', (broker) => {
  test.skipIf(!existsSync(models))(`equal the whole network (networks in ${models})`, ({ skip }) => {
    const bench = resolve('dist/bench/main.js');
    const args = [bench, 'plan-forms', '--data', data, '--broker', broker, '--json'];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    if (stderr.includes('mosquitto is not installed')) return skip(stderr);
    const { rows, ...result } = JSON.parse(stdout.trim().split('\n').at(-1)!);
    expect({ ...result, stderr: result.pass ? '' : stderr }).toMatchObject({ pass: true, limit: 1e-4 });
    // No residual block is split by channels; a chain of convolutions has no skips, and one tensor at each cut.
    expect(result.absent).toEqual([
      'cifar10_resnet20: tiles, then slices of channels',
      'mobilenet_v1_025_128: a skip from device to cloud',
      'mobilenet_v1_025_128: several tensors across a cut',
    ]);
    expect(rows).toHaveLength(36);
  });
});
