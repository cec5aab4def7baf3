/** The platforms that bundles are made for, as Node names them. */
export const ARCHES = ['arm64', 'x64'] as const;
/** One of them. */
export type Arch = (typeof ARCHES)[number];

/**
 * Whether a file of the installed packages goes into the bundle of a platform: neither native code of other platforms
 * nor what only compilers and readers use. Licences stay.
 */
export function isNeeded(path: string, arch: Arch): boolean {
  if (/(^|\/)(licen[cs]e|notice|copying|third-party)[^/]*$/i.test(path)) return true;
  const native = path.match(/(^|\/)onnxruntime-node\/bin\/[^/]+\/([^/]+)\/([^/]+)\//);
  if (native !== null) return native[2] === 'linux' && native[3] === arch;
  if (/(^|\/)(\.bin|@types)\//.test(path) || path.startsWith('zod/src/')) return false;
  return !/(^|\/)\.[^/]+$|\.(map|md|markdown|d\.[cm]?ts|ts|flow|tsbuildinfo)$/.test(path);
}

/** A package of a bundle, from its package.json. */
export interface Component {
  readonly name: string;
  readonly version: string;
  /** SPDX expression. */
  readonly license: string;
}

/** The bill of materials, CycloneDX 1.6 as JSON. `time`: Unix seconds. */
export function billOfMaterials(
  product: Component & { readonly arch: Arch },
  components: readonly Component[],
  time: number,
): string {
  const described = (type: string, { name, version, license }: Component) => {
    const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`;
    const known = /^[\w.+-]+$/.test(license) ? [{ license: { id: license } }] : [{ expression: license }];
    return { type, 'bom-ref': purl, name, version, licenses: known, purl };
  };
  const { arch, ...self } = product;
  const sorted = [...components].sort((a, b) => (described('', a).purl < described('', b).purl ? -1 : 1));
  return `${JSON.stringify(
    {
      bomFormat: 'CycloneDX',
      specVersion: '1.6',
      version: 1,
      metadata: {
        timestamp: new Date(time * 1000).toISOString(),
        component: described('application', self),
        properties: [{ name: 'tessera:platform', value: `linux-${arch}` }],
      },
      components: sorted.map((component) => described('library', component)),
    },
    null,
    2,
  )}\n`;
}
