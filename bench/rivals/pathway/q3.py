def query(read):
    person = read("person", "id_ name city state")
    auction = read("auction", "id_ seller category")
    person = person.filter((person.state == "or") | (person.state == "id") | (person.state == "ca"))
    auction = auction.filter(auction.category == 10)
    return auction.join(person, auction.seller == person.id_).select(person.name, person.city, person.state, auction.id_)
