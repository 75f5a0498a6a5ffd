// Converts CSDL XML on standard input, a JSON list of documents, to CSDL JSON as the npm package odata-csdl has it.
import { readFileSync } from "node:fs";
import csdl from "odata-csdl";

const documents = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(documents.map((each) => csdl.xml2json(each, { strict: false }))));
