"""A model to query: customers, orders with items, and operations of every kind."""

from typing import Final

from holdfast.odata.csdl import (
    Action,
    ActionImport,
    ComplexType,
    EntityContainer,
    EntitySet,
    EntityType,
    EnumType,
    Function,
    FunctionImport,
    Member,
    Model,
    NavigationProperty,
    Parameter,
    Property,
    ReturnType,
    Schema,
    Singleton,
    TypeDefinition,
    by_name,
)

ORDERS: Final = ReturnType(type="Shop.Order", collection=True)
ADDRESS: Final = ComplexType(
    name="Address",
    properties=by_name(Property(name="Street", type="Edm.String"), Property(name="City", type="Edm.String")),
    navigation=by_name(NavigationProperty(name="Country", type="Shop.Country")),
)
ORDER: Final = EntityType(
    name="Order",
    key={"ID": "ID"},
    properties=by_name(
        Property(name="ID", type="Edm.String"),
        Property(name="Note", type="Edm.String", nullable=True),
        Property(name="Amount", type="Edm.Decimal", nullable=True, scale=2),
        Property(name="Quantity", type="Edm.Int32"),
        Property(name="At", type="Edm.DateTimeOffset"),
        Property(name="Day", type="Edm.Date"),
        Property(name="Took", type="Edm.Duration"),
        Property(name="Color", type="Shop.Color"),
        Property(name="Allergens", type="Edm.String", collection=True),
        Property(name="Ship", type="Shop.Address", nullable=True),
        Property(name="Stops", type="Shop.Address", collection=True),
    ),
    navigation=by_name(
        NavigationProperty(name="Items", type="Shop.Item", collection=True),
        NavigationProperty(name="Buyer", type="Shop.Customer", nullable=True),
    ),
)
ITEM: Final = EntityType(
    name="Item",
    key={"OrderID": "OrderID", "No": "No"},
    properties=by_name(
        Property(name="OrderID", type="Edm.String"),
        Property(name="No", type="Edm.Int32"),
        Property(name="Price", type="Edm.Decimal"),
        Property(name="Done", type="Edm.Boolean"),
    ),
    navigation=by_name(NavigationProperty(name="Of", type="Shop.Order")),
)
CUSTOMER: Final = EntityType(
    name="Customer",
    open_type=True,
    key={"Guid": "Guid"},
    properties=by_name(Property(name="Guid", type="Edm.Guid"), Property(name="Name", type="Edm.String")),
    navigation=by_name(NavigationProperty(name="Orders", type="Shop.Order", collection=True)),
)
COUNTRY: Final = EntityType(
    name="Country", key={"Code": "Code"}, properties=by_name(Property(name="Code", type="Shop.Code"))
)
VIP: Final = EntityType(name="Vip", base_type="Shop.Customer")
ONE: Final = Parameter(name="in", type="Shop.Order")
MANY: Final = Parameter(name="in", type="Shop.Order", collection=True)
ORDER_BACK: Final = ReturnType(type="Shop.Order")
OPERATIONS: Final = (
    Action(name="Edit", is_bound=True, entity_set_path="in", parameters=(ONE,), returns=ORDER_BACK),
    Action(name="Create", is_bound=True, entity_set_path="in", parameters=(MANY,), returns=ORDER_BACK),
    Action(name="Discard"),
    Function(
        name="Cheapest", is_bound=True, is_composable=True, entity_set_path="in", parameters=(MANY,), returns=ORDER_BACK
    ),
    Function(
        name="Buyers",
        is_bound=True,
        entity_set_path="in/Buyer",
        parameters=(ONE, Parameter(name="color", type="Shop.Color", nullable=True)),
        returns=ReturnType(type="Shop.Customer", collection=True),
    ),
    Function(
        name="Find",
        is_composable=True,
        parameters=(
            Parameter(name="word", type="Edm.String"),
            Parameter(name="near", type="Shop.Address", nullable=True),
            Parameter(name="colors", type="Shop.Color", collection=True),
        ),
        returns=ORDERS,
    ),
    Function(name="Find", is_composable=True, parameters=(Parameter(name="word", type="Edm.String"),), returns=ORDERS),
    Function(name="Total", returns=ReturnType(type="Edm.Decimal")),
)
CONTAINER: Final = EntityContainer(
    name="Container",
    entity_sets=by_name(
        EntitySet(name="Orders", type="Shop.Order", bindings={"Items": "Items", "Buyer": "Customers"}),
        EntitySet(name="Items", type="Shop.Item", bindings={"Of": "Shop.Container/Orders"}),
        EntitySet(name="Customers", type="Shop.Customer", bindings={"Orders": "Orders"}),
        EntitySet(name="Countries", type="Shop.Country"),
    ),
    singletons=by_name(Singleton(name="Me", type="Shop.Customer", bindings={"Orders": "Orders"})),
    action_imports=by_name(ActionImport(name="Discard", action="Shop.Discard")),
    function_imports=by_name(
        FunctionImport(name="Find", function="Shop.Find", entity_set="Orders"),
        FunctionImport(name="Total", function="Shop.Total"),
    ),
)
SCHEMA: Final = Schema(
    namespace="Shop",
    alias="S",
    types=by_name(
        ORDER,
        ITEM,
        CUSTOMER,
        VIP,
        COUNTRY,
        ADDRESS,
        EnumType(
            name="Color", is_flags=True, members=by_name(Member(name="Red", value=1), Member(name="Blue", value=2))
        ),
        TypeDefinition(name="Code", underlying_type="Edm.String", max_length=2),
    ),
    operations={
        name: tuple(one for one in OPERATIONS if one.name == name) for name in {one.name for one in OPERATIONS}
    },
    container=CONTAINER,
)
MODEL: Final = Model(schemas={"Shop": SCHEMA}, container_name="Shop.Container")
