"""CSDL documents that were written for these tests: one with every element of the standard, and a few services."""

EVERYTHING = b"""<?xml version="1.0" encoding="utf-8"?>
<edmx:Edmx xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx" Version="4.01">
  <edmx:Reference Uri="https://oasis-tcs.github.io/odata-vocabularies/vocabularies/Org.OData.Core.V1.xml">
    <edmx:Include Namespace="Org.OData.Core.V1" Alias="Core">
      <Annotation xmlns="http://docs.oasis-open.org/odata/ns/edm" Term="Core.DefaultNamespace"/>
    </edmx:Include>
  </edmx:Reference>
  <edmx:Reference Uri="ui.xml">
    <edmx:Include Namespace="org.example.ui" Alias="UI"/>
    <edmx:Include Namespace="org.example.plain"/>
    <edmx:IncludeAnnotations TermNamespace="org.example.ui" TargetNamespace="shop.model" Qualifier="Tablet"/>
    <Annotation xmlns="http://docs.oasis-open.org/odata/ns/edm" Term="Core.Description" String="of a reference"/>
  </edmx:Reference>
  <edmx:DataServices>
    <Schema xmlns="http://docs.oasis-open.org/odata/ns/edm" Namespace="base.model">
      <EntityContainer Name="Stock"><EntitySet Name="Homes" EntityType="shop.model.Maker"/></EntityContainer>
    </Schema>
    <!-- types, with comments and foreign elements in between -->
    <Schema xmlns="http://docs.oasis-open.org/odata/ns/edm" Namespace="shop.model" Alias="self">
      <EntityType Name="Thing" Abstract="true">
        <Key><PropertyRef Name="ID"/></Key>
        <Property Name="ID" Type="Edm.Guid" Nullable="false"/>
        <foreign:Note xmlns:foreign="urn:foreign">passed over</foreign:Note>
      </EntityType>
      <EntityType Name="Good" BaseType="self.Thing" OpenType="true" HasStream="true">
        <Property Name="Name" Type="Edm.String" Nullable="false" MaxLength="40" Unicode="false" DefaultValue="thing">
          <Annotation Term="Core.IsLanguageDependent"/>
          <Annotation Term="UI.Label" String="Name" Qualifier="Long">
            <Annotation Term="Core.IsLanguageDependent" Bool="false"/>
          </Annotation>
        </Property>
        <Property Name="Text" Type="Edm.String" MaxLength="max" DefaultValue=""/>
        <Property Name="Price" Type="Edm.Decimal" Precision="15" Scale="2" DefaultValue="1.50"/>
        <Property Name="Whole" Type="Edm.Decimal" Precision="15"/>
        <Property Name="Any" Type="Edm.Decimal" Scale="variable"/>
        <Property Name="Floating" Type="Edm.Decimal" Precision="7" Scale="floating"/>
        <Property Name="Made" Type="Edm.DateTimeOffset" Precision="7" DefaultValue="null"/>
        <Property Name="Seen" Type="Edm.DateTimeOffset"/>
        <Property Name="Tags" Type="Collection(Edm.String)" Nullable="false"/>
        <Property Name="Place" Type="Edm.GeographyPoint" SRID="4326"/>
        <Property Name="Where" Type="Edm.GeometryPoint" SRID="variable"/>
        <Property Name="Colours" Type="self.Colour" DefaultValue="Red"/>
        <Property Name="Weight" Type="self.Mass" DefaultValue="7"/>
        <Property Name="Sold" Type="Edm.Boolean" DefaultValue="true" Nullable="false"/>
        <Property Name="Home" Type="self.Address"/>
        <Property Name="MakerID" Type="Edm.Int32"/>
        <NavigationProperty Name="Maker" Type="self.Maker" Partner="Goods">
          <ReferentialConstraint Property="MakerID" ReferencedProperty="Number">
            <Annotation Term="Core.Description" String="of a constraint"/>
          </ReferentialConstraint>
          <OnDelete Action="SetNull">
            <Annotation Term="Core.Description" String="of a deletion"/>
          </OnDelete>
        </NavigationProperty>
        <NavigationProperty Name="Parts" Type="Collection(self.Good)" ContainsTarget="true"/>
      </EntityType>
      <EntityType Name="Maker">
        <Key><PropertyRef Name="Number"/><PropertyRef Name="Seat/City" Alias="City"/></Key>
        <Property Name="Number" Type="Edm.Int32" Nullable="false"/>
        <Property Name="Seat" Type="self.Address" Nullable="false"/>
        <NavigationProperty Name="Goods" Type="Collection(self.Good)" Partner="Maker"/>
        <NavigationProperty Name="Owner" Type="self.Maker" Nullable="false"/>
      </EntityType>
      <ComplexType Name="Address"><Property Name="City" Type="Edm.String" Nullable="false"/></ComplexType>
      <ComplexType Name="FarAddress" BaseType="self.Address" OpenType="true"/>
      <EnumType Name="Colour" UnderlyingType="Edm.Byte" IsFlags="true">
        <Member Name="Red" Value="1"><Annotation Term="UI.Label" String="red"/></Member>
        <Member Name="Green" Value="2"/>
        <Annotation Term="UI.Label" String="colours"/>
      </EnumType>
      <EnumType Name="Size"><Member Name="Small"/><Member Name="Large"/></EnumType>
      <TypeDefinition Name="Mass" UnderlyingType="Edm.Decimal" Precision="9" Scale="3">
        <Annotation Term="UI.Label" String="in kilograms"/>
      </TypeDefinition>
      <Term Name="Hint" Type="Edm.String" Nullable="false" AppliesTo="EntitySet Property" DefaultValue="none"/>
      <Term Name="Hints" Type="Collection(self.Address)" BaseTerm="self.Hint"/>
      <Action Name="Rename" IsBound="true" EntitySetPath="it">
        <Parameter Name="it" Type="self.Good" Nullable="false"/>
        <Parameter Name="To" Type="Edm.String" MaxLength="40"/>
        <ReturnType Type="self.Good" Nullable="false"><Annotation Term="UI.Label" String="renamed"/></ReturnType>
        <Annotation Term="UI.Label" String="Rename"/>
      </Action>
      <Action Name="Rename" IsBound="true">
        <Parameter Name="all" Type="Collection(self.Good)" Nullable="false"/>
      </Action>
      <Action Name="Tidy"/>
      <Function Name="Best" IsComposable="true">
        <Parameter Name="Of" Type="Edm.Int32" Nullable="false"><Annotation Term="UI.Label" String="of"/></Parameter>
        <ReturnType Type="Collection(self.Good)"/>
      </Function>
      <EntityContainer Name="Shop" Extends="base.model.Stock">
        <EntitySet Name="Goods" EntityType="self.Good">
          <NavigationPropertyBinding Path="Maker" Target="Makers"/>
          <NavigationPropertyBinding Path="self.Good/Parts" Target="self.Shop/Goods"/>
          <NavigationPropertyBinding Path="Home" Target="base.model.Stock/Homes"/>
          <Annotation Term="UI.Label" String="inline"/>
        </EntitySet>
        <EntitySet Name="Makers" EntityType="self.Maker" IncludeInServiceDocument="false"/>
        <Singleton Name="Boss" Type="self.Maker" Nullable="true">
          <NavigationPropertyBinding Path="Goods" Target="Goods"/>
        </Singleton>
        <ActionImport Name="Tidy" Action="self.Tidy"><Annotation Term="UI.Label" String="Tidy"/></ActionImport>
        <FunctionImport Name="Best" Function="self.Best" EntitySet="Goods" IncludeInServiceDocument="true"/>
        <Annotation Term="UI.Label" String="Shop"/>
      </EntityContainer>
      <Annotations Target="self.Shop/Goods">
        <Annotation Term="UI.Label" String="external"/>
      </Annotations>
      <Annotations Target="self.Rename(self.Good)/To" Qualifier="Tablet">
        <Annotation Term="UI.Label" String="new name"/>
      </Annotations>
      <Annotations Target="self.Good">
        <Annotation Term="UI.Binary" Binary="T0RhdGE"/>
        <Annotation Term="UI.Date" Date="2026-11-21"/>
        <Annotation Term="UI.Instant"><DateTimeOffset>2026-11-21T15:36:00Z</DateTimeOffset></Annotation>
        <Annotation Term="UI.Duration" Duration="P1D"/>
        <Annotation Term="UI.Guid" Guid="21EC2020-3AEA-1069-A2DD-08002B30309D"/>
        <Annotation Term="UI.Time" TimeOfDay="21:45:00"/>
        <Annotation Term="UI.Decimal" Decimal="3.1400"/>
        <Annotation Term="UI.Float" Float="1.5E3"/>
        <Annotation Term="UI.Infinite" Float="-INF"/>
        <Annotation Term="UI.Int" Int="42"/>
        <Annotation Term="UI.Null"><Null/></Annotation>
        <Annotation Term="UI.NullSaid"><Null><Annotation Term="Core.Description" String="why"/></Null></Annotation>
        <Annotation Term="UI.Flags" EnumMember="self.Colour/Red self.Colour/Green"/>
        <Annotation Term="UI.Column" PropertyPath="Name"/>
        <Annotation Term="UI.Element" ModelElementPath="self.Good/self.Rename"/>
        <Annotation Term="UI.Way"><NavigationPropertyPath>self.Good/Parts</NavigationPropertyPath></Annotation>
        <Annotation Term="UI.Facet" AnnotationPath="Maker/@UI.Table#Short"/>
        <Annotation Term="UI.Value" Path="Maker/self.Maker/Number"/>
        <Annotation Term="UI.Url" UrlRef="http://example.org/"/>
        <Annotation Term="UI.ComputedUrl"><UrlRef><Path>Name</Path></UrlRef></Annotation>
        <Annotation Term="UI.Table" Qualifier="Short">
          <Collection>
            <PropertyPath>Name</PropertyPath>
            <EnumMember>self.Colour/Red</EnumMember>
            <Path>Price</Path>
            <Int>1</Int>
            <Collection><String>inner</String></Collection>
            <Record Type="UI.Field">
              <PropertyValue Property="Value" Path="Name">
                <Annotation Term="UI.Label" String="of a member"/>
              </PropertyValue>
              <PropertyValue Property="Deep">
                <Record><PropertyValue Property="Flag" Bool="false"/></Record>
              </PropertyValue>
              <Annotation Term="UI.Label" String="of a record"/>
            </Record>
          </Collection>
        </Annotation>
        <Annotation Term="UI.Hidden">
          <If>
            <And>
              <Not><Eq><Path>Sold</Path><Bool>true</Bool></Eq></Not>
              <Or><Gt><Path>Price</Path><Int>3</Int></Gt><In><Path>Name</Path><Collection/></In></Or>
            </And>
            <Neg><Add><Path>Price</Path><Decimal>0.5</Decimal></Add></Neg>
            <Null/>
            <Annotation Term="Core.Description" String="of an If"/>
          </If>
        </Annotation>
        <Annotation Term="UI.Call">
          <Apply Function="odata.concat"><String> a </String><LabeledElement Name="Twice" Path="Name"/></Apply>
        </Annotation>
        <Annotation Term="UI.Again"><LabeledElementReference>self.Twice</LabeledElementReference></Annotation>
        <Annotation Term="UI.Cast">
          <Cast Type="Edm.Decimal" Precision="5" Scale="variable"><Path>Name</Path></Cast>
        </Annotation>
        <Annotation Term="UI.IsOf"><IsOf Type="Collection(self.Good)"><Path>Parts</Path></IsOf></Annotation>
      </Annotations>
      <Annotation Term="Core.Description" String="of the schema"/>
    </Schema>
  </edmx:DataServices>
</edmx:Edmx>
"""

STICKY = b"""<?xml version="1.0" encoding="utf-8"?>
<edmx:Edmx xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx" Version="4.0">
  <edmx:Reference Uri="https://sap.github.io/odata-vocabularies/vocabularies/Session.xml">
    <edmx:Include Namespace="com.sap.vocabularies.Session.v1" Alias="SAP__session"/>
  </edmx:Reference>
  <edmx:DataServices>
    <Schema xmlns="http://docs.oasis-open.org/odata/ns/edm" Namespace="com.example.demo" Alias="SAP__self">
      <EntityType Name="Order">
        <Key><PropertyRef Name="ID"/></Key>
        <Property Name="ID" Type="Edm.String" Nullable="false" MaxLength="10"/>
        <Property Name="Note" Type="Edm.String"/>
      </EntityType>
      <EntityType Name="Customer">
        <Key><PropertyRef Name="ID"/></Key>
        <Property Name="ID" Type="Edm.String" Nullable="false"/>
      </EntityType>
      <Action Name="Create" IsBound="true" EntitySetPath="it">
        <Parameter Name="it" Type="Collection(SAP__self.Order)" Nullable="false"/>
        <ReturnType Type="SAP__self.Order" Nullable="false"/>
      </Action>
      <Action Name="CreateFrom" IsBound="true" EntitySetPath="it">
        <Parameter Name="it" Type="Collection(SAP__self.Order)" Nullable="false"/>
        <Parameter Name="Template" Type="Edm.String"/>
        <ReturnType Type="SAP__self.Order" Nullable="false"/>
      </Action>
      <Action Name="Edit" IsBound="true">
        <Parameter Name="it" Type="SAP__self.Customer" Nullable="false"/>
        <Parameter Name="Force" Type="Edm.Boolean"/>
      </Action>
      <Action Name="Edit" IsBound="true" EntitySetPath="it">
        <Parameter Name="it" Type="SAP__self.Order" Nullable="false"/>
        <ReturnType Type="SAP__self.Order" Nullable="false"/>
      </Action>
      <Action Name="Save" IsBound="true" EntitySetPath="it">
        <Parameter Name="it" Type="SAP__self.Order" Nullable="false"/>
        <ReturnType Type="SAP__self.Order" Nullable="false"/>
      </Action>
      <Action Name="DiscardAll"/>
      <EntityContainer Name="Container">
        <EntitySet Name="Orders" EntityType="SAP__self.Order"/>
        <EntitySet Name="Customers" EntityType="SAP__self.Customer"/>
        <ActionImport Name="Discard" Action="SAP__self.DiscardAll"/>
      </EntityContainer>
      <Annotations Target="SAP__self.Container/Orders">
        <Annotation Term="SAP__session.StickySessionSupported">
          <Record>
            <PropertyValue Property="NewAction" String="SAP__self.Create"/>
            <PropertyValue Property="AdditionalNewActions">
              <Collection><String>SAP__self.CreateFrom</String></Collection>
            </PropertyValue>
            <PropertyValue Property="EditAction" String="com.example.demo.Edit"/>
            <PropertyValue Property="SaveAction" String="SAP__self.Save"/>
            <PropertyValue Property="DiscardAction" String="SAP__self.Container/Discard"/>
          </Record>
        </Annotation>
      </Annotations>
    </Schema>
  </edmx:DataServices>
</edmx:Edmx>
"""


def document(schema: str, *, version: str = "4.0", attributes: str = 'Namespace="Demo"') -> bytes:
    """Return a document of one schema with this content."""
    return (
        f'<edmx:Edmx xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx" Version="{version}"><edmx:DataServices>'
        f'<Schema xmlns="http://docs.oasis-open.org/odata/ns/edm" {attributes}>{schema}</Schema>'
        "</edmx:DataServices></edmx:Edmx>"
    ).encode()
