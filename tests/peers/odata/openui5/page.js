// What a page with OpenUI5's ODataModel V4 does, as functions that a test calls. `tab` is one model: the model itself
// calls no action of the choreography, its application does, as here.
"use strict";

const required = (name) => new Promise((done, fail) => sap.ui.require([name], done, fail));

async function tab(serviceUrl = "/svc/", groupId = "$auto") {
  const ODataModel = await required("sap/ui/model/odata/v4/ODataModel");
  const model = new ODataModel({ serviceUrl, groupId, autoExpandSelect: false });
  const told = [];
  model.attachSessionTimeout(() => told.push(model.getHttpHeaders(true)["SAP-ContextId"] ?? null));
  const kept = [];

  async function list(length = 10) {
    const binding = model.bindList("/Orders");
    kept.push(binding);
    return binding.requestContexts(0, length);
  }
  async function entity(key) {
    const binding = model.bindContext(`/Orders('${key}')`);
    kept.push(binding);
    await binding.requestObject();
    return binding.getBoundContext();
  }
  async function call(name, context, parameters = {}) {
    const operation = model.bindContext(context ? `Demo.${name}(...)` : `/${name}(...)`, context);
    for (const [parameter, value] of Object.entries(parameters)) operation.setParameter(parameter, value);
    return operation.invoke();
  }
  async function create() {
    const header = model.bindList("/Orders").getHeaderContext();
    return call("Create", header);
  }
  return {
    model,
    told,
    list,
    entity,
    call,
    create,
    edit: (context) => call("Edit", context),
    save: (context) => call("Save", context),
    discard: () => call("Discard"),
    id: () => model.getHttpHeaders(true)["SAP-ContextId"] ?? null,
    object: (context) => context.requestObject(),
    set: (context, property, value) => context.setProperty(property, value),
  };
}

// How something went: its value, or what the model said of the failure.
async function outcome(promise) {
  try {
    const value = await promise;
    return { ok: true, value: value?.getObject ? value.getObject() : (value ?? null) };
  } catch (error) {
    return { ok: false, message: error.message, status: error.status ?? error.cause?.status ?? null };
  }
}
window.holdfast = { tab, outcome };
