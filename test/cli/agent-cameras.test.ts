import { expect, test } from 'vitest';
import { agentCameras, namedSource } from '../../cli/agent-cameras.ts';
import { configSchema } from '../../shared/config/schema.ts';

/** Lost if these fail: two cameras get half of a stream each, or an agent reads cameras of other machines. */

const { cameras } = configSchema.parse({
  cameras: {
    front: { source: 'rtsp://10.0.0.7/sub', node: 'pi-1', max_fps: 2, masks: [[0, 0, 0.5, 0.5]] },
    door: { source: 'http://10.0.0.8/snap.jpg' },
    yard: {},
  },
});
const given = (...texts: string[]) => texts.map((text) => namedSource(text, '--camera'));

test('standard input is one camera, and a camera has one source', async () => {
  await expect(agentCameras(given('front=-', 'door=-'), 5, {}, 'pi-1')).rejects.toMatchObject({
    code: 'TESSERA_USAGE',
  });
  await expect(agentCameras(given('a=synthetic', 'a=rpicam'), 5, {}, 'pi-1')).rejects.toMatchObject({
    message: '--camera a is given twice',
  });
});

test('an agent reads the sources of the configuration that are at its node, and no others', async () => {
  const read = await agentCameras([], undefined, cameras, 'pi-1');
  expect(read.map(({ name }) => name)).toEqual(['front']);
  expect(read[0]!.settings).toMatchObject({ fps: 2, masks: [[0, 0, 0.5, 0.5]], source: { kind: 'rtsp' } });
  expect(await agentCameras([], undefined, cameras, 'pi-2')).toEqual([]);
});

test('a source of the command line takes the place of the configured one, and keeps the masks', async () => {
  const [front, ...others] = await agentCameras(given('front=synthetic'), 7, cameras, 'pi-1');
  expect(others).toEqual([]);
  expect(front!.settings).toMatchObject({ source: { kind: 'synthetic' }, fps: 7, masks: [[0, 0, 0.5, 0.5]] });
});

test('a wrong source is refused with what may be written, and without its password', () => {
  const refuse = (text: string) => {
    try {
      namedSource(text, '--camera');
    } catch (error) {
      return String((error as Error).message);
    }
    return 'accepted';
  };
  expect(refuse('front')).toContain('expected NAME=SOURCE');
  expect(refuse('front=rtmp://me:pl4nted@cam/x')).toBe('--camera rtmp://me:***@cam/***: rtmp:// is not read');
  expect(refuse('front=rtsp://me:pl4/nted@cam/x')).not.toContain('nted');
});

test('a folder that does not exist is refused at the start, and not tried for ever', async () => {
  await expect(agentCameras(given('a=/no/such/folder'), 5, {}, 'pi-1')).rejects.toMatchObject({
    code: 'TESSERA_USAGE',
    message: expect.stringContaining('/no/such/folder'),
  });
});
