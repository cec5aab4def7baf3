import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { CameraOptions } from '../../../central/ingest/camera-options.ts';
import { Cameras } from '../../../central/ingest/cameras.ts';
import { CameraStatuses } from '../../../central/observers/camera-statuses.ts';
import { Observers } from '../../../central/observers/observers.ts';
import { Publisher } from '../../../central/publish/publisher.ts';
import { silentLog } from '../../../shared/ports.ts';
import { topics as topicsOf } from '../../../shared/protocol/topics.ts';
import { MemoryBroker } from '../../support/memory-bus.ts';

const topics = topicsOf();
const listed: CameraOptions = { models: ['scenes'], hold: 1, offline_after_s: 10 };
let broker: MemoryBroker;
let cameras: Cameras;
beforeEach(() => {
  vi.useFakeTimers();
  broker = new MemoryBroker();
  const publisher = new Publisher(broker.bus(), topics, { warn() {} });
  cameras = new Cameras({ front: listed }, true, new Observers([new CameraStatuses({ publisher, topics })], silentLog));
});
afterEach(() => {
  cameras.stop();
  vi.useRealTimers();
});

const frame = (camera: string): boolean => {
  const options = cameras.options(camera);
  if (options !== undefined) cameras.seen(camera, options);
  return options !== undefined;
};
const said = () =>
  broker.published.map(({ topic, payload }) => `${topic.split('/')[2]} ${new TextDecoder().decode(payload)}`);

describe('Cameras', () => {
  it('take frames of a listed camera only from where the configuration says, and of others from one place at a time', () => {
    expect([cameras.mayComeFrom('front', undefined), cameras.mayComeFrom('front', 'pi-1')]).toEqual([true, false]);
    const may = (node?: string): boolean => cameras.mayComeFrom('door', node);
    expect([may(), may('pi-1')]).toEqual([true, true]);
    cameras.seen('door', cameras.options('door')!, 'pi-1');
    expect([may(), may('pi-1'), may('pi-2')]).toEqual([false, true, false]);
    vi.advanceTimersByTime(30_000);
    expect([may(), may('pi-2')]).toEqual([true, true]);
    const own = new Cameras({ front: { ...listed, node: 'pi-1' } }, true, new Observers([], silentLog));
    expect([own.mayComeFrom('front', undefined), own.mayComeFrom('front', 'pi-1')]).toEqual([false, true]);
  });

  it('tells of an unlisted camera once, and when it makes room', () => {
    const said: string[] = [];
    const own = new Cameras({ front: listed }, true, new Observers([], silentLog), (camera, isKnown) =>
      said.push(`${camera} ${isKnown}`),
    );
    const come = (camera: string) => own.seen(camera, own.options(camera)!);
    for (const camera of ['front', 'door', 'door']) come(camera);
    expect(said).toEqual(['door true']);
    vi.advanceTimersByTime(30_000);
    come('door');
    for (let k = 0; k < 1023; k++) come(`x-${k}`);
    vi.advanceTimersByTime(30_000);
    come('yard');
    expect(said.slice(-2)).toEqual(['door false', 'yard true']);
  });

  it('publishes that a camera is online, silent, and online again', () => {
    frame('front');
    vi.advanceTimersByTime(9000);
    frame('front');
    vi.advanceTimersByTime(10_000);
    frame('front');
    expect(said()).toEqual(['front online', 'front offline', 'front online']);
  });

  it('keeps a bounded number of cameras that the configuration does not list, or else made-up names fill broker and memory', () => {
    for (let k = 0; k < 1024; k++) expect(frame(`x-${k}`)).toBe(true);
    expect(frame('x-1024')).toBe(false);
    expect(frame('x-3')).toBe(true);
    expect(frame('front')).toBe(true);
    vi.advanceTimersByTime(30_000);
    frame('x-3');
    broker.published.length = 0;
    expect(frame('x-1024')).toBe(true);
    // The camera that was silent for longest is forgotten, also at the broker.
    expect(said()).toEqual(['x-0 ', 'x-1024 online']);
  });

  it('takes a bounded number of cameras of one node, which otherwise made up names until no other camera had a place', () => {
    const born = (camera: string, node: string): boolean => {
      const options = cameras.options(camera);
      if (options === undefined || !cameras.mayComeFrom(camera, node)) return false;
      cameras.seen(camera, options, node);
      return true;
    };
    for (let k = 0; k < 64; k++) expect(born(`x-${k}`, 'pi-1')).toBe(true);
    expect([born('x-64', 'pi-1'), born('x-3', 'pi-1'), born('x-64', 'pi-2'), frame('y')]).toEqual([
      false,
      true,
      true,
      true,
    ]);
    vi.advanceTimersByTime(30_000);
    expect(born('x-65', 'pi-1')).toBe(true);
  });

  it("does not mistake a camera's name for a property that every object has", () => {
    const closed = new Cameras({ front: listed }, false, new Observers([], silentLog));
    for (const name of ['constructor', '__proto__', 'toString']) expect(closed.options(name)).toBeUndefined();
  });
});
