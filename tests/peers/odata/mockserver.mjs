// SAP's mock server for Fiori elements as a sticky service: node mockserver.mjs PORT METADATA DATA_FOLDER
// It says "ready" once it listens. Port 0 takes any free one; the line names it.
import FEMockserver from "@sap-ux/fe-mockserver-core";
import express from "express";

const [port, metadataPath, mockdataPath] = process.argv.slice(2);
const app = express();
const service = { urlPath: "/svc", name: "Demo", metadataPath, mockdataPath, generateMockData: false, noETag: false };
const Server = FEMockserver.default ?? FEMockserver;
const mock = new Server({ services: [service], annotations: [], plugins: [] });
await mock.isReady;
app.use(mock.getRouter());
const listener = app.listen(Number(port), "127.0.0.1", () => console.log(`ready ${listener.address().port}`));
