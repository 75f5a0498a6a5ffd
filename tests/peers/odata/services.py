"""Metadata in the shapes of well-known public services, written anew: an ordering database, and a travel diary."""

NORTHERN = b"""<?xml version="1.0" encoding="UTF-8"?>
<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx">
  <edmx:DataServices>
    <Schema Namespace="Northern.Model" xmlns="http://docs.oasis-open.org/odata/ns/edm">
      <EntityType Name="Supplier">
        <Key><PropertyRef Name="SupplierID"/></Key>
        <Property Name="SupplierID" Type="Edm.Int32" Nullable="false"/>
        <Property Name="CompanyName" Type="Edm.String" Nullable="false" MaxLength="40"/>
        <Property Name="HomePage" Type="Edm.String" MaxLength="max"/>
        <NavigationProperty Name="Goods" Type="Collection(Northern.Model.Good)" Partner="Supplier"/>
      </EntityType>
      <EntityType Name="Good">
        <Key><PropertyRef Name="GoodID"/></Key>
        <Property Name="GoodID" Type="Edm.Int32" Nullable="false"/>
        <Property Name="SupplierID" Type="Edm.Int32"/>
        <Property Name="UnitPrice" Type="Edm.Decimal" Precision="19" Scale="4"/>
        <Property Name="Picture" Type="Edm.Binary" MaxLength="max"/>
        <Property Name="InStock" Type="Edm.Int16"/>
        <Property Name="Discontinued" Type="Edm.Boolean" Nullable="false"/>
        <Property Name="Since" Type="Edm.DateTimeOffset"/>
        <NavigationProperty Name="Supplier" Type="Northern.Model.Supplier" Partner="Goods">
          <ReferentialConstraint Property="SupplierID" ReferencedProperty="SupplierID"/>
        </NavigationProperty>
        <NavigationProperty Name="Lines" Type="Collection(Northern.Model.Line)" Partner="Good"/>
      </EntityType>
      <EntityType Name="Line">
        <Key><PropertyRef Name="OrderID"/><PropertyRef Name="GoodID"/></Key>
        <Property Name="OrderID" Type="Edm.Int32" Nullable="false"/>
        <Property Name="GoodID" Type="Edm.Int32" Nullable="false"/>
        <Property Name="Quantity" Type="Edm.Int16" Nullable="false"/>
        <Property Name="Discount" Type="Edm.Single" Nullable="false"/>
        <NavigationProperty Name="Good" Type="Northern.Model.Good" Nullable="false" Partner="Lines">
          <ReferentialConstraint Property="GoodID" ReferencedProperty="GoodID"/>
        </NavigationProperty>
      </EntityType>
    </Schema>
    <Schema Namespace="Northern.Web" xmlns="http://docs.oasis-open.org/odata/ns/edm">
      <EntityContainer Name="Entities">
        <EntitySet Name="Suppliers" EntityType="Northern.Model.Supplier">
          <NavigationPropertyBinding Path="Goods" Target="Goods"/>
        </EntitySet>
        <EntitySet Name="Goods" EntityType="Northern.Model.Good">
          <NavigationPropertyBinding Path="Supplier" Target="Suppliers"/>
          <NavigationPropertyBinding Path="Lines" Target="Lines"/>
        </EntitySet>
        <EntitySet Name="Lines" EntityType="Northern.Model.Line">
          <NavigationPropertyBinding Path="Good" Target="Goods"/>
        </EntitySet>
      </EntityContainer>
    </Schema>
  </edmx:DataServices>
</edmx:Edmx>
"""

TRAVEL = b"""<?xml version="1.0" encoding="UTF-8"?>
<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx">
  <edmx:Reference Uri="https://oasis-tcs.github.io/odata-vocabularies/vocabularies/Org.OData.Capabilities.V1.xml">
    <edmx:Include Namespace="Org.OData.Capabilities.V1" Alias="Capabilities"/>
  </edmx:Reference>
  <edmx:Reference Uri="https://oasis-tcs.github.io/odata-vocabularies/vocabularies/Org.OData.Core.V1.xml">
    <edmx:Include Namespace="Org.OData.Core.V1" Alias="Core"/>
  </edmx:Reference>
  <edmx:DataServices>
    <Schema Namespace="org.example.travel" xmlns="http://docs.oasis-open.org/odata/ns/edm">
      <EnumType Name="Mood">
        <Member Name="Calm" Value="0"/>
        <Member Name="Glad" Value="1"/>
      </EnumType>
      <ComplexType Name="Town">
        <Property Name="Country" Type="Edm.String" Nullable="false"/>
        <Property Name="Name" Type="Edm.String" Nullable="false"/>
      </ComplexType>
      <ComplexType Name="Place" OpenType="true">
        <Property Name="Street" Type="Edm.String" Nullable="false"/>
        <Property Name="Town" Type="org.example.travel.Town" Nullable="false"/>
      </ComplexType>
      <ComplexType Name="Event" BaseType="org.example.travel.Place" OpenType="true">
        <Property Name="Building" Type="Edm.String"/>
      </ComplexType>
      <EntityType Name="Traveller" OpenType="true">
        <Key><PropertyRef Name="Login"/></Key>
        <Property Name="Login" Type="Edm.String" Nullable="false">
          <Annotation Term="Core.Permissions"><EnumMember>Core.Permission/Read</EnumMember></Annotation>
        </Property>
        <Property Name="Mails" Type="Collection(Edm.String)"/>
        <Property Name="Places" Type="Collection(org.example.travel.Place)"/>
        <Property Name="Mood" Type="org.example.travel.Mood"/>
        <Property Name="Changed" Type="Edm.Int64" Nullable="false">
          <Annotation Term="Core.Computed" Bool="true"/>
        </Property>
        <NavigationProperty Name="Friends" Type="Collection(org.example.travel.Traveller)"/>
        <NavigationProperty Name="Trips" Type="Collection(org.example.travel.Trip)" ContainsTarget="true"/>
      </EntityType>
      <EntityType Name="Trip">
        <Key><PropertyRef Name="Number"/></Key>
        <Property Name="Number" Type="Edm.Int32" Nullable="false"/>
        <Property Name="Begins" Type="Edm.DateTimeOffset" Nullable="false" Precision="3"/>
        <Property Name="Budget" Type="Edm.Single" Nullable="false"/>
        <NavigationProperty Name="Stages" Type="Collection(org.example.travel.Stage)" ContainsTarget="true"/>
      </EntityType>
      <EntityType Name="Stage" Abstract="true">
        <Key><PropertyRef Name="Number"/></Key>
        <Property Name="Number" Type="Edm.Int32" Nullable="false"/>
        <Property Name="Takes" Type="Edm.Duration"/>
      </EntityType>
      <EntityType Name="Flight" BaseType="org.example.travel.Stage">
        <NavigationProperty Name="By" Type="org.example.travel.Airline" Nullable="false"/>
      </EntityType>
      <EntityType Name="Airline">
        <Key><PropertyRef Name="Code"/></Key>
        <Property Name="Code" Type="Edm.String" Nullable="false"/>
        <Property Name="Seat" Type="Edm.GeographyPoint" SRID="4326"/>
      </EntityType>
      <EntityType Name="Picture" HasStream="true">
        <Key><PropertyRef Name="Id"/></Key>
        <Property Name="Id" Type="Edm.Int64" Nullable="false"/>
        <Annotation Term="Core.AcceptableMediaTypes"><Collection><String>image/jpeg</String></Collection></Annotation>
      </EntityType>
      <Function Name="Favourite" IsBound="true" EntitySetPath="who/Trips" IsComposable="true">
        <Parameter Name="who" Type="org.example.travel.Traveller"/>
        <ReturnType Type="org.example.travel.Trip"/>
      </Function>
      <Function Name="Nearest">
        <Parameter Name="lat" Type="Edm.Double" Nullable="false"/>
        <Parameter Name="lon" Type="Edm.Double" Nullable="false"/>
        <ReturnType Type="org.example.travel.Airline"/>
      </Function>
      <Action Name="Reset"/>
      <Action Name="Share" IsBound="true">
        <Parameter Name="who" Type="org.example.travel.Traveller"/>
        <Parameter Name="with" Type="Edm.String" Nullable="false"/>
      </Action>
      <EntityContainer Name="Diary">
        <EntitySet Name="Pictures" EntityType="org.example.travel.Picture"/>
        <EntitySet Name="Travellers" EntityType="org.example.travel.Traveller">
          <NavigationPropertyBinding Path="Friends" Target="Travellers"/>
          <NavigationPropertyBinding Path="org.example.travel.Flight/By" Target="Airlines"/>
          <Annotation Term="Capabilities.SearchRestrictions">
            <Record>
              <PropertyValue Property="Searchable" Bool="true"/>
              <PropertyValue Property="UnsupportedExpressions">
                <EnumMember>Capabilities.SearchExpressions/AND Capabilities.SearchExpressions/OR</EnumMember>
              </PropertyValue>
            </Record>
          </Annotation>
          <Annotation Term="Core.OptimisticConcurrency">
            <Collection><PropertyPath>Changed</PropertyPath></Collection>
          </Annotation>
        </EntitySet>
        <EntitySet Name="Airlines" EntityType="org.example.travel.Airline"/>
        <Singleton Name="Me" Type="org.example.travel.Traveller">
          <NavigationPropertyBinding Path="Friends" Target="Travellers"/>
        </Singleton>
        <FunctionImport Name="Nearest" Function="org.example.travel.Nearest" EntitySet="Airlines"
            IncludeInServiceDocument="true"/>
        <ActionImport Name="Reset" Action="org.example.travel.Reset"/>
        <Annotation Term="Core.Description" String="A travel diary"/>
      </EntityContainer>
      <Annotations Target="org.example.travel.Diary/Airlines">
        <Annotation Term="Capabilities.InsertRestrictions">
          <Record Type="Capabilities.InsertRestrictionsType">
            <PropertyValue Property="Insertable" Bool="false"/>
          </Record>
        </Annotation>
      </Annotations>
    </Schema>
  </edmx:DataServices>
</edmx:Edmx>
"""
