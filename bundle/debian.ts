import { ar, tar } from './archive.ts';
import type { Arch } from './content.ts';

const DEBIAN_ARCH: Readonly<Record<Arch, string>> = { arm64: 'arm64', x64: 'amd64' };

/** What a Debian package says of itself. `bytes`: unpacked; `time`: Unix seconds. */
export interface PackageFacts {
  readonly version: string;
  readonly arch: Arch;
  readonly bytes: number;
  readonly time: number;
}

/** The control file. The libraries are those that Node and ONNX Runtime are linked to. */
export function controlFile({ version, arch, bytes }: PackageFacts): string {
  return `Package: tessera
Version: ${version}
Architecture: ${DEBIAN_ARCH[arch]}
Maintainer: Tessera <tessera@localhost>
Installed-Size: ${Math.ceil(bytes / 1024)}
Depends: libc6 (>= 2.28), libstdc++6 (>= 8), libgcc-s1
Section: misc
Priority: optional
Description: Runs one convolutional network on many small computers over MQTT
 Broker, central and node agent, with a Node of their own. Nothing is
 downloaded when it is installed or started.
`;
}

/** A Debian package (deb(5)): `ar` of the format's version, the control archive, and the data, compressed by zstd. */
export function debianPackage(data: Uint8Array, facts: PackageFacts): Buffer {
  const control = tar([{ path: './control', content: Buffer.from(controlFile(facts)) }], facts.time);
  const members = [
    { name: 'debian-binary', content: Buffer.from('2.0\n') },
    { name: 'control.tar', content: Buffer.concat([...control]) },
    { name: 'data.tar.zst', content: data },
  ];
  return ar(members, facts.time);
}
