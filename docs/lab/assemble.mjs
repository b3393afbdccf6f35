/** node assemble.mjs IN.wat OUT.wasm: WebAssembly from its text form. */

import { readFileSync, writeFileSync } from "node:fs";
import wabt from "wabt";

const [source, target] = process.argv.slice(2);
const module = (await wabt()).parseWat(source, readFileSync(source, "utf8"), { simd: true });
writeFileSync(target, module.toBinary({}).buffer);
