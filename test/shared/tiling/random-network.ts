import fc from 'fast-check';
import type { ResolvedModel } from '../../../shared/onnx/model.ts';
import type { Dtype } from '../../../shared/tensor/tensor.ts';
import { Network, type Plain } from './network.ts';

/** One step of a random network: an operator, the earlier maps that it reads, and numbers for its parameters. */
export interface Step {
  readonly kind: (typeof KINDS)[number];
  readonly from: number;
  readonly with: number;
  readonly dice: readonly [number, number, number, number];
}

const KINDS = [
  'conv',
  'conv',
  'conv',
  'depthwise',
  'maxPool',
  'averagePool',
  'residual',
  'concat',
  'resize',
  'resample',
  'mirror',
  'transposed',
  'slice',
  'crop',
  'pad',
  'shuffle',
  'relu',
  'cellwise',
  'norm',
  'spatialConstant',
  'blocks',
] as const;

const die = fc.nat(99);

/** Steps of random networks, shrinking towards short chains. */
export const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({ kind: fc.constantFrom(...KINDS), from: fc.nat(3), with: fc.nat(5), dice: fc.tuple(die, die, die, die) }),
  { minLength: 1, maxLength: 9 },
);

interface Map2d {
  readonly name: string;
  readonly channels: number;
  readonly rows: number;
  readonly cols: number;
}

const LARGEST = 40;

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const within = (at: number, size: number): boolean => at >= 0 && at < size;

/** Builds maps step by step; a step that does not fit its map is left out. */
class RandomNetwork {
  readonly net: Network;
  readonly maps: Map2d[];
  readonly used = new Set<string>();

  constructor(opset: number, rows: number, cols: number, dtype: Dtype) {
    this.net = new Network(opset, dtype);
    this.maps = [{ name: this.net.input([1, 2, rows, cols]), channels: 2, rows, cols }];
  }

  add(map: Map2d, ...read: Map2d[]): void {
    if (map.rows < 1 || map.cols < 1 || map.rows > LARGEST || map.cols > LARGEST || map.channels > 16) return;
    for (const { name } of read) this.used.add(name);
    this.maps.push(map);
  }

  step({ kind, from, with: other, dice }: Step): void {
    const x = this.maps[Math.max(0, this.maps.length - 1 - from)]!;
    const [a, b, c, d] = dice;
    switch (kind) {
      case 'conv':
      case 'depthwise':
        this.#window(x, dice, kind);
        break;
      case 'maxPool':
      case 'averagePool':
        this.#window(x, dice, kind);
        break;
      case 'residual':
      case 'concat': {
        const twins = this.maps.filter((map) => map.rows === x.rows && map.cols === x.cols && map !== x);
        const y = twins[other % Math.max(1, twins.length)];
        if (y === undefined || (kind === 'residual' && y.channels !== x.channels)) return;
        const name =
          kind === 'residual'
            ? this.net.op('Add', [x.name, y.name])
            : this.net.op('Concat', [x.name, y.name], { axis: 1 });
        this.add({ ...x, name, channels: kind === 'residual' ? x.channels : x.channels + y.channels }, x, y);
        break;
      }
      case 'resize':
        this.#resize(x, dice);
        break;
      case 'resample':
        this.#resample(x, dice);
        break;
      case 'mirror': {
        const mode = a % 2 === 0 ? 'reflect' : 'edge';
        const [top, left, bottom, right] = [b % 4, c % 3, d % 4, (a + b) % 3].map((n, i) =>
          Math.min(n, (i % 2 === 0 ? x.rows : x.cols) - 1),
        ) as [number, number, number, number];
        const name = this.net.op('Pad', [x.name, this.net.ints(0, 0, top, left, 0, 0, bottom, right)], { mode });
        this.add({ ...x, name, rows: x.rows + top + bottom, cols: x.cols + left + right }, x);
        break;
      }
      case 'transposed':
        this.#transposed(x, dice);
        break;
      case 'slice':
      case 'crop': {
        const [step, start] = kind === 'slice' ? [1 + (a % 3), b % 2] : [1, a % 3];
        const end = kind === 'slice' ? 10_000 : x.rows - (c % 2);
        const rows = Math.ceil((Math.min(end, x.rows) - start) / step);
        const cols = Math.ceil((Math.min(end, x.cols) - (d % 2)) / step);
        if (rows < 1 || cols < 1) return;
        const bounds = [
          this.net.ints(start, d % 2),
          this.net.ints(end, end),
          this.net.ints(2, 3),
          this.net.ints(step, step),
        ];
        this.add({ ...x, name: this.net.op('Slice', [x.name, ...bounds]), rows, cols }, x);
        break;
      }
      case 'pad': {
        const [top, left, bottom, right] = [a % 4, b % 3, c % 4, d % 3] as const;
        const pads = this.net.ints(0, 0, top, left, 0, 0, bottom, right);
        const name = this.net.op('Pad', [x.name, pads, this.net.values(this.net.dtype, [], [0.5])]);
        this.add({ ...x, name, rows: x.rows + top + bottom, cols: x.cols + left + right }, x);
        break;
      }
      case 'shuffle': {
        if (x.channels % 2 === 1) return;
        const { rows, cols, channels } = x;
        const grouped = this.net.op('Reshape', [x.name, this.net.ints(1, 2, channels / 2, rows, cols)]);
        const turned = this.net.op('Transpose', [grouped], { perm: [0, 2, 1, 3, 4] });
        this.add({ ...x, name: this.net.op('Reshape', [turned, this.net.ints(1, channels, rows, cols)]) }, x);
        break;
      }
      case 'relu':
        this.add({ ...x, name: this.net.op(a % 2 === 0 ? 'Relu' : 'Sigmoid', [x.name]) }, x);
        break;
      case 'cellwise':
        this.add({ ...x, name: this.#cellwise(x, dice) }, x);
        break;
      case 'norm':
        this.add({ ...x, name: this.#norm(x, dice) }, x);
        break;
      case 'spatialConstant':
        this.add({ ...x, name: this.net.op('Add', [x.name, this.net.weight(x.rows, a % 2 === 0 ? x.cols : 1)]) }, x);
        break;
      case 'blocks': {
        if (x.channels % 4 !== 0) return;
        const name = this.net.op('DepthToSpace', [x.name], { blocksize: 2, mode: a % 2 === 0 ? 'DCR' : 'CRD' });
        this.add({ name, channels: x.channels / 4, rows: 2 * x.rows, cols: 2 * x.cols }, x);
        break;
      }
    }
  }

  #constant(dims: readonly number[], value: number): string {
    const count = dims.reduce((product, size) => product * size, 1);
    return this.net.values(this.net.dtype, dims, new Array<number>(count).fill(value));
  }

  #cellwise(x: Map2d, [a, b, c]: Step['dice']): string {
    const { net } = this;
    const half = this.#constant([], 0.5);
    const choices = [
      () =>
        net.op('Clip', [x.name, b % 2 === 0 ? '' : this.#constant([], -1), c % 2 === 0 ? half : this.#constant([], 6)]),
      () => net.op('PRelu', [x.name, net.weight(x.channels, 1, 1)]),
      () => net.op('LeakyRelu', [x.name], { alpha: { float: 0.1 } }),
      () => net.op('HardSwish', [x.name]),
      // Continuous: a value near 0.5 may be above it in a tile and below it in the whole network.
      () => {
        const above = net.op('Sub', [x.name, half]);
        return net.op('Where', [net.op('Greater', [x.name, half]), above, net.op('Neg', [above])]);
      },
      () => net.op('Mul', [x.name, net.op('Sigmoid', [x.name])]),
      () => net.op('Min', [x.name, net.weight(1, x.channels, 1, 1), half]),
    ];
    return choices[a % choices.length]!();
  }

  #norm(x: Map2d, [a, b]: Step['dice']): string {
    const { net } = this;
    const last = () => net.op('Transpose', [x.name], { perm: [0, 2, 3, 1] });
    const first = (name: string) => net.op('Transpose', [name], { perm: [0, 3, 1, 2] });
    const scale = () => this.#constant([x.channels], 1.25);
    const choices = [
      () => net.op('BatchNormalization', [x.name, scale(), net.weight(x.channels), net.weight(x.channels), scale()]),
      () => net.op('LRN', [x.name], { size: 3 }),
      () => net.op('Softmax', [x.name], { axis: 1 }),
      () => first(net.op('MatMul', [last(), net.weight(x.channels, x.channels)])),
      // With a small epsilon cells whose channels are nearly equal would magnify rounding a hundred times.
      () =>
        net.opset < 17
          ? x.name
          : first(
              net.op('LayerNormalization', [last(), scale()], { axis: b % 2 === 0 ? -1 : 3, epsilon: { float: 1 } }),
            ),
    ];
    return choices[a % choices.length]!();
  }

  #window(x: Map2d, [a, b, c, d]: Step['dice'], kind: 'conv' | 'depthwise' | 'maxPool' | 'averagePool'): void {
    const isPool = kind.endsWith('Pool');
    const kernel = [1 + (a % 4), 1 + (b % 4)] as const;
    const strides = [1 + (c % 2), 1 + (d % 3 === 0 ? 1 : 0)] as const;
    const dilations =
      kind === 'averagePool' ? ([1, 1] as const) : ([1 + (a % 3 === 0 ? 1 : 0), 1 + (d % 4 === 0 ? 1 : 0)] as const);
    // Pools demand pads smaller than the kernel.
    const most = isPool ? [kernel[0], kernel[1]] : [4, 4];
    const pads = [b % most[0]!, c % most[1]!, d % most[0]!, a % most[1]!] as const;
    // The runtime refuses SAME pads that would be negative.
    const auto = a % 5 === 0 && `${dilations}` === '1,1' && kernel[0] >= strides[0] && kernel[1] >= strides[1];
    const ceil = isPool && b % 3 === 0 && !auto;
    const size = (n: number, axis: 0 | 1) => {
      if (auto) return Math.ceil(n / strides[axis]);
      const room = n + pads[axis] + pads[axis + 2]! - ((kernel[axis] - 1) * dilations[axis] + 1);
      if (room < 0) return 0;
      const cells = (ceil ? Math.ceil(room / strides[axis]) : Math.floor(room / strides[axis])) + 1;
      // The runtime's kernels disagree about a last window that lies beyond the map.
      if (ceil && (cells - 1) * strides[axis] >= n + pads[axis]) return 0;
      // The result of a pool is undefined for a window of which all dilated positions are padding.
      const touches = (cell: number) =>
        range(kernel[axis]).some((tap) => within(cell * strides[axis] - pads[axis] + tap * dilations[axis], n));
      return isPool && !range(cells).every(touches) ? 0 : cells;
    };
    const [rows, cols] = [size(x.rows, 0), size(x.cols, 1)];
    if (rows < 1 || cols < 1) return;
    const attributes: Record<string, Plain> = {
      kernel_shape: kernel,
      strides,
      ...(kind === 'averagePool' ? { count_include_pad: c % 2 } : { dilations }),
      ...(auto ? { auto_pad: b % 2 === 0 ? 'SAME_UPPER' : 'SAME_LOWER' } : { pads }),
      ...(ceil ? { ceil_mode: 1 } : {}),
    };
    const channels = kind === 'conv' ? 2 + 2 * (d % 2) : x.channels;
    const name = isPool
      ? this.net.op(kind === 'maxPool' ? 'MaxPool' : 'AveragePool', [x.name], attributes)
      : this.net.conv(x.name, x.channels, channels, kernel, {
          ...attributes,
          ...(kind === 'depthwise' ? { group: x.channels } : {}),
        });
    this.add({ name, channels, rows, cols }, x);
  }

  #resize(x: Map2d, [a, b, c]: Step['dice']): void {
    const factors = [1 + (a % 3), 1 + (b % 2)] as const;
    const mode = ['nearest', 'linear', 'cubic'][c % 3]!;
    const coordinates = ['half_pixel', 'asymmetric', 'pytorch_half_pixel'][a % 3]!;
    const scales = this.net.values('float32', [4], [1, 1, ...factors]);
    const name = this.net.op('Resize', [x.name, '', scales], { mode, coordinate_transformation_mode: coordinates });
    this.add({ ...x, name, rows: x.rows * factors[0], cols: x.cols * factors[1] }, x);
  }

  #resample(x: Map2d, [a, b, c, d]: Step['dice']): void {
    // From half the size to twice the size.
    const [rows, cols] = [
      Math.ceil((x.rows * (50 + (3 * a) / 2)) / 100),
      Math.ceil((x.cols * (50 + (3 * b) / 2)) / 100),
    ];
    const coordinates = ['align_corners', 'half_pixel', 'asymmetric', 'pytorch_half_pixel'][c % 4]!;
    const mode = ['nearest', 'linear', 'cubic'][d % 3]!;
    const sizes = this.net.ints(1, x.channels, rows, cols);
    const name = this.net.op('Resize', [x.name, '', '', sizes], { mode, coordinate_transformation_mode: coordinates });
    this.add({ ...x, name, rows, cols }, x);
  }

  #transposed(x: Map2d, [a, b, c, d]: Step['dice']): void {
    const strides = [1 + (a % 3), 1 + (b % 2)] as const;
    const kernel = [strides[0] + (c % 3), strides[1] + (d % 3)] as const;
    const pads = [a % 2, b % 2, c % 2, d % 2] as const;
    const extra = [strides[0] > 1 ? d % 2 : 0, 0] as const;
    const size = (n: number, axis: 0 | 1) =>
      (n - 1) * strides[axis] + kernel[axis] + extra[axis] - pads[axis] - pads[axis + 2]!;
    const weight = this.net.weight(x.channels, 2, ...kernel);
    const [rows, cols] = [size(x.rows, 0), size(x.cols, 1)];
    if (rows < 1 || cols < 1) return;
    const name = this.net.op('ConvTranspose', [x.name, weight, this.net.weight(2)], {
      strides,
      pads,
      output_padding: extra,
    });
    this.add({ name, channels: 2, rows, cols }, x);
  }
}

/** A network of the given steps (operator set 14 or newer) and its outputs: every map that nothing reads. */
export function randomNetwork(
  list: readonly Step[],
  rows: number,
  cols: number,
  { dtype = 'float32', opset = 17 }: { readonly dtype?: Dtype; readonly opset?: number } = {},
): { resolved: ResolvedModel; outputs: string[] } | undefined {
  const random = new RandomNetwork(opset, rows, cols, dtype);
  for (const step of list) random.step(step);
  const outputs = random.maps.slice(1).flatMap(({ name }) => (random.used.has(name) ? [] : [name]));
  return outputs.length === 0 ? undefined : { resolved: random.net.resolve(...outputs), outputs };
}
